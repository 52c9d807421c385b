// Shows on the page how the bundle of its unit is verified, check by check. What is checked is in verify.js.

const lang = document.documentElement.lang;
const t = (zh, en) => (lang === 'zh-CN' ? zh : en);

const DONE = {
  format: ({ entries, bytes }) => t(`${entries} 条记录，${bytes} 字节`, `${entries} entries, ${bytes} bytes`),
  checkpoint: ({ size }) => t(`日志共 ${size} 条`, `a log of ${size} entries`),
  inclusion: ({ entries }) => t(`${entries} 条均有证明`, `all ${entries} are proven`),
  signatures: ({ records, keys }) => t(`${records} 个签名，${keys} 个密钥`, `${records} signatures by ${keys} keys`),
  chain: ({ records }) => t(`${records} 条相连`, `${records} records in a row`),
};

/** A page whose proof does not hold says so at its top, whatever the ledger wrote there. */
function withdraw(word) {
  const verdict = document.querySelector('.verdict');
  verdict.className = 'verdict broken';
  verdict.querySelector('.word').textContent = word;
  verdict.querySelector('.sentence').textContent = t('本页的结论未获证明支持。', 'What this page said is not borne out by its proof.');
}

export async function selfCheck(list, result) {
  const item = (name) => list.querySelector(`[data-check="${name}"]`);
  const say = (kind, text) => {
    result.className = `check-result ${kind}`;
    result.textContent = text;
  };
  const onCheck = ({ name, passed, detail, data }) => {
    const line = item(name);
    line.classList.add(passed ? 'ok' : 'no');
    const words = passed ? DONE[name](data) : detail;
    line.querySelector('span').textContent = words;
  };
  try {
    say('', t('正在下载证明……', 'Fetching the proof …'));
    const [{ wire }, { verifyBundle }, response] = await Promise.all([
      import('./wire.js'),
      import('./verify.js'),
      fetch(`${list.dataset.path}?as=bundle`),
    ]);
    if (!response.ok) throw new Error((await response.json()).detail);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const messages = await wire(list.dataset.wire);
    const report = await verifyBundle(bytes, { wire: messages, vkey: list.dataset.key, onCheck });
    const shown = document.getElementById('unit').textContent;
    // A true proof of other goods proves nothing of these.
    const isOurs = report.unit === shown;
    if (!report.passed) {
      say('no', t('证明不成立：请勿相信本页，并向监管部门举报。', 'The proof does not hold: do not believe this page, and tell a regulator.'));
    } else if (!isOurs) {
      say('no', t(`证明属于另一商品 ${report.unit}。`, `The proof is of another unit, ${report.unit}.`));
    } else {
      say('ok', t('证明核对无误：记录确由企业签署、未被改动，且在日志中。', 'The proof holds: the records are signed, unchanged, and in the log.'));
    }
    if (!report.passed || !isOurs) withdraw(t('证明不成立', 'Not proven'));
    list.dataset.done = report.passed && isOurs ? 'passed' : 'failed';
  } catch (error) {
    // No verdict, and the page must not look like one.
    say('maybe', t(`无法在本机验证：${error.message}`, `This device could not check it: ${error.message}`));
    list.dataset.done = 'impossible';
  }
}
