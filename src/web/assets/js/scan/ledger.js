// The ledger as the scanner talks to it, and what its answers mean.

import { ConnectError } from '../../vendor/connect.js';
import { services } from '../sign.js';

const SUBMIT_MS = 15_000;
const HEADS_MS = 2_500;

/** The services, each call with a time after which it is given up. */
export function connect(messages) {
  const { ledger } = services(messages);
  return {
    submit: async (bytes) => {
      const envelope = messages.decode('Envelope', bytes);
      return (await ledger.submit({ envelope }, { timeoutMs: SUBMIT_MS })).receipt;
    },
    head: async (unit, timeoutMs = HEADS_MS) => {
      const { heads: [head] } = await ledger.getHeads({ units: [unit] }, { timeoutMs });
      return { prev: head.head, containers: head.containers.map(({ id, prev }) => ({ id, prev })) };
    },
  };
}

const WAITS = ['PREV_UNKNOWN', 'QUOTA_EXCEEDED', 'OVERLOADED', 'SHUTTING_DOWN', 'STORAGE'];
const REBASED = ['CONFLICT', 'PREV_NOT_IN_CHAIN'];

/**
 * What an error of a call means: `refused` for good, `rebase`, `wait` (for what comes before, or for room), or
 * `unanswered`, when it isn't known to be an answer of the ledger at all: a captive portal isn't one.
 */
export function meaning(error) {
  const { rawMessage } = ConnectError.from(error);
  const [, reason, , message] = /^([A-Z_]{4,})(?: at ([^:]+))?: (.*)$/s.exec(rawMessage) ?? [];
  if (!reason) return { kind: 'unanswered', message: rawMessage };
  if (WAITS.includes(reason)) return { kind: 'wait', reason, message };
  return { kind: REBASED.includes(reason) ? 'rebase' : 'refused', reason, message };
}
