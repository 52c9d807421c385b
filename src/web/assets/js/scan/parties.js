// Ids of firms, checked as src/core/id does: `uscc:` with 18 characters, or `gln:` with 13 digits.

import { checksOut } from './codes.js';
import { Wrong } from './lang.js';

const ALPHABET = '0123456789ABCDEFGHJKLMNPQRTUWXY';

/** GB 32100-2015, and GB 11714-1997 for the code inside. */
function isUscc(code) {
  if (!/^[0-9A-HJ-NP-RTUWXY]{2}[0-9]{6}[0-9A-HJ-NP-RTUWXY]{10}$/.test(code)) return false;
  let sum = 0;
  let weight = 1;
  for (const letter of code.slice(0, 17)) {
    sum += ALPHABET.indexOf(letter) * weight;
    weight = (weight * 3) % 31;
  }
  if (code[17] !== ALPHABET[(31 - (sum % 31)) % 31]) return false;
  const inner = [3, 7, 9, 10, 5, 8, 4, 2].reduce((all, by, i) => all + by * parseInt(code[8 + i], 36), 0);
  const digit = 11 - (inner % 11);
  return code[16] === (digit === 10 ? 'X' : String(digit % 11));
}

/** The party id in what was typed or scanned; the prefix may be left out. */
export function readParty(text) {
  const bare = text.trim().replace(/^(uscc|gln|\(414\))[:：]?/i, '').replace(/\s/g, '').toUpperCase();
  if (/^[0-9]{13}$/.test(bare) && checksOut(bare)) return `gln:${bare}`;
  if (isUscc(bare)) return `uscc:${bare}`;
  throw new Wrong(
    '请填写对方企业的统一社会信用代码（18 位）或 GLN（13 位）。',
    'Give the firm’s social credit code (18 characters) or its GLN (13 digits).',
  );
}
