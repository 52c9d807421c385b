// Puts the moments of a page into the time zone and the manner of whoever reads it.

const lang = document.documentElement.lang;
const manner = new Intl.DateTimeFormat(lang, { dateStyle: 'medium', timeStyle: 'short' });

/** Those below an element. */
export function placeTimes(root) {
  for (const element of root.querySelectorAll('time[datetime]')) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    element.textContent = manner.format(moment);
    element.title = element.dateTime;
  }
}

placeTimes(document);
