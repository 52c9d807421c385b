// Where the courier works: a city and a region that are set once, and the position where the phone tells it.

import { recall, remember } from './store.js';

/** ISO 3166-2:CN and the names. */
export const REGIONS = [
  ['CN-AH', '安徽', 'Anhui'], ['CN-BJ', '北京', 'Beijing'], ['CN-CQ', '重庆', 'Chongqing'], ['CN-FJ', '福建', 'Fujian'],
  ['CN-GD', '广东', 'Guangdong'], ['CN-GS', '甘肃', 'Gansu'], ['CN-GX', '广西', 'Guangxi'], ['CN-GZ', '贵州', 'Guizhou'],
  ['CN-HA', '河南', 'Henan'], ['CN-HB', '湖北', 'Hubei'], ['CN-HE', '河北', 'Hebei'], ['CN-HI', '海南', 'Hainan'],
  ['CN-HK', '香港', 'Hong Kong'], ['CN-HL', '黑龙江', 'Heilongjiang'], ['CN-HN', '湖南', 'Hunan'], ['CN-JL', '吉林', 'Jilin'],
  ['CN-JS', '江苏', 'Jiangsu'], ['CN-JX', '江西', 'Jiangxi'], ['CN-LN', '辽宁', 'Liaoning'], ['CN-MO', '澳门', 'Macao'],
  ['CN-NM', '内蒙古', 'Inner Mongolia'], ['CN-NX', '宁夏', 'Ningxia'], ['CN-QH', '青海', 'Qinghai'], ['CN-SC', '四川', 'Sichuan'],
  ['CN-SD', '山东', 'Shandong'], ['CN-SH', '上海', 'Shanghai'], ['CN-SN', '陕西', 'Shaanxi'], ['CN-SX', '山西', 'Shanxi'],
  ['CN-TJ', '天津', 'Tianjin'], ['CN-TW', '台湾', 'Taiwan'], ['CN-XJ', '新疆', 'Xinjiang'], ['CN-XZ', '西藏', 'Tibet'],
  ['CN-YN', '云南', 'Yunnan'], ['CN-ZJ', '浙江', 'Zhejiang'],
];

const FRESH_MS = 120_000;
const CITY_BYTES = 64;
let position;
let watch;

export const settings = async () => (await recall('place')) ?? { city: '', region: '', geolocation: undefined };

/** Whether a city fits the record. */
export const fits = (city) => new TextEncoder().encode(city).length <= CITY_BYTES;

export async function setPlace(place) {
  await remember('place', place);
  follow(place.geolocation);
}

/** Follows the position while the page is open, if the courier wants it. */
export function follow(wanted) {
  if (!wanted || !navigator.geolocation) {
    if (watch !== undefined) navigator.geolocation.clearWatch(watch);
    watch = undefined;
    position = undefined;
    return;
  }
  watch ??= navigator.geolocation.watchPosition(
    ({ coords, timestamp }) => {
      position = { latitude: coords.latitude, longitude: coords.longitude, at: timestamp };
    },
    () => {
      position = undefined;
    },
    { enableHighAccuracy: true, maximumAge: 30_000, timeout: 30_000 },
  );
}

// To a hundredth of a degree, about a kilometre: enough to see that goods can't have travelled so fast, and no door.
const e7 = (degrees) => Math.round(degrees * 100) * 1e5;

/**
 * The place for a record; none when nothing is known. An old position would be a lie, so it is left out; and at a
 * buyer's door there is none, since the log forgets nothing.
 */
export async function placeNow({ atBuyer }) {
  const { city, region } = await settings();
  const fresh = position && !atBuyer && Date.now() - position.at < FRESH_MS;
  if (!city && !region && !fresh) return undefined;
  const at = fresh ? { latitudeE7: e7(position.latitude), longitudeE7: e7(position.longitude) } : undefined;
  return { city, region, position: at };
}
