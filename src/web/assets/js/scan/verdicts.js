// What became of a record, for the courier: a colour with its word, and the reason in a sentence.

import { t } from './lang.js';

/** By number of the finding: what it means for who holds the scanner. */
const FINDINGS = {
  1: ['没有生产商登记过该编码。', 'No maker has registered this code.'],
  2: ['该编码被重复赋码。', 'This code was given out twice.'],
  3: ['赋码企业无权使用该编码。', 'A firm gave out this code without owning it.'],
  4: ['账本显示货物不在贵公司手中。', 'By the ledger your firm does not hold these goods.'],
  5: ['没有人把货物交给贵公司。', 'Nobody has handed these goods to your firm.'],
  6: ['货物是交给另一家企业的。', 'The goods were handed to another firm.'],
  7: ['账本显示货物仍在包装内。', 'By the ledger these goods are still inside a box.'],
  8: ['账本显示货物已在另一包装内。', 'By the ledger these goods are in another box.'],
  9: ['箱内商品与记录不符。', 'What is in the box is not what the record says.'],
  10: ['账本显示货物已签收。', 'By the ledger these goods have reached their buyer.'],
  11: ['账本显示货物已销毁或用尽。', 'By the ledger these goods were destroyed or used up.'],
  12: ['与上一地点相距过远，时间不够。', 'Too far from the last place for the time between.'],
  13: ['时间早于上一条记录，请检查手机时间。', 'Earlier than the record before it; check the phone’s clock.'],
  14: ['时间在未来，请检查手机时间。', 'In the future; check the phone’s clock.'],
  15: ['商品已过期。', 'The goods are past their last day of use.'],
  16: ['商品被召回或暂停流通，请勿继续转交。', 'The goods are recalled or held; do not pass them on.'],
  17: ['对方已撤回交接。', 'The other firm had withdrawn its offer.'],
  18: ['贵公司的角色不允许此操作。', 'Your firm’s role does not allow this.'],
  19: ['相关企业在黑名单中。', 'A firm on the black list is involved.'],
  20: ['商品在指定市场之外。', 'The goods are outside their market.'],
  21: ['没有实际运输痕迹。', 'There is no sign that anything travelled.'],
  22: ['同一密钥有两种不同陈述。', 'One key told two different stories.'],
  23: ['数量多于投入。', 'More came out than went in.'],
};

/** By reason of a refusal: what to do. */
const REFUSALS = {
  UNKNOWN_KEY: ['本机密钥尚未登记，请联系公司管理员。', 'This phone’s key is not registered; ask your firm.'],
  KEY_REVOKED: ['本机密钥已被吊销，请联系公司管理员。', 'This phone’s key was revoked; ask your firm.'],
  KEY_EXPIRED: ['本机密钥已过期，请重新加入。', 'This phone’s key has expired; enrol again.'],
  KEY_NOT_YET_VALID: ['本机密钥尚未生效，请检查手机时间。', 'This phone’s key is not valid yet; check the clock.'],
  PARTY_NOT_ACTIVE: ['贵公司未获批准或已停用。', 'Your firm is not approved, or was suspended.'],
  UNAUTHORISED: ['无权进行此操作。', 'This key may not do that.'],
  ALREADY_REPORTED: ['今天已记录过同样的情况。', 'The same was reported today already.'],
  NOT_FOUND: ['账本中找不到所指的记录或密钥。', 'The ledger does not have what this refers to.'],
  FAILED_PRECONDITION: ['货物当前状态不允许此操作。', 'The goods’ state does not allow this.'],
  INVALID_FIELD: ['内容不符合格式。', 'Something in it breaks a rule of its format.'],
  BAD_SIGNATURE: ['签名不符：买家密钥不是卖家指定的那一把。', 'The signature does not fit: not the key that the seller named.'],
  CORRECTED_REFUSED: ['被更正的记录未被账本接受，无需更正。', 'The record to be corrected was not accepted, so there is nothing to correct.'],
  CONFLICT: ['他人的记录不断抢先，请重新扫描。', 'Others keep coming first; scan again.'],
};

const sentence = (table, name) => (table[name] ? t(...table[name]) : '');

/** How a row looks: colour, sign, word, sentence. */
export function shown(row) {
  const { result } = row;
  switch (row.state) {
    case 'done':
      return { colour: 'good', sign: '✓', word: t('已入账', 'Accepted'), sentence: t(`日志第 ${result.index} 条`, `Entry ${result.index} of the log`) };
    case 'flagged': {
      const said = result.findings.map((kind) => sentence(FINDINGS, kind));
      if (row.overtaken) said.push(t('此件另有新记录，已接在其后重新签名。', 'Another record came first; this one was signed again to follow it.'));
      return { colour: 'amber', sign: '!', word: t('已入账，需注意', 'Accepted, look closer'), sentence: said.join(' ') };
    }
    case 'refused':
      return {
        colour: 'bad', sign: '✗', word: t('未被接受', 'Refused'),
        sentence: sentence(REFUSALS, result.reason) || result.message, detail: `${result.reason}: ${result.message}`,
      };
    default:
      return {
        colour: 'wait', sign: '…', word: t('已签名，待发送', 'Signed, waiting'),
        sentence: result?.waits ? t('等待前一条记录先到达账本。', 'Waits until the record before it has arrived.')
          : t('已存入手机，有网络时自动发送。', 'Kept on this phone; sent when there is a network.'),
      };
  }
}
