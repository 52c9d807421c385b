// What a courier does with goods, in the order of the day.

import { t } from './lang.js';

/** `confirm` is the buyer's, and comes after a delivery. */
const ACTIONS = {
  collect: ['收件', 'Collect', '上门揽收，三项制度', 'From a sender, with the three checks'],
  accept: ['接收', 'Take over', '从其他企业接过来', 'From another firm'],
  handover: ['交出', 'Hand over', '交给其他企业', 'To another firm'],
  scan: ['到站扫描', 'Scan', '在某地看到货物', 'Seen at a place'],
  deliver: ['签收', 'Deliver', '交给买家', 'To the buyer'],
  return: ['退回', 'Return', '买家退回货物', 'Back from the buyer'],
  refuse: ['拒收', 'Refuse', '不接收这批货', 'Not taken over'],
  damaged: ['破损', 'Damaged', '拍照留证', 'With a photo'],
  correct: ['更正', 'Correct', '今天扫错的记录', 'A mistake of today'],
  confirm: ['买家确认', 'Buyer’s word', '', ''],
};

export const CHOICES = Object.keys(ACTIONS).filter((action) => action !== 'confirm');
export const nameOf = (action) => t(ACTIONS[action][0], ACTIONS[action][1]);
export const hintOf = (action) => t(ACTIONS[action][2], ACTIONS[action][3]);
