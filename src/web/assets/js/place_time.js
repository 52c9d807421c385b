// Puts the moments of a page into the time zone and the manner of whoever reads it.

const lang = document.documentElement.lang;
const manner = new Intl.DateTimeFormat(lang, { dateStyle: 'medium', timeStyle: 'short' });

for (const element of document.querySelectorAll('time[datetime]')) {
  const moment = new Date(element.dateTime);
  if (Number.isNaN(moment.getTime())) continue;
  element.textContent = manner.format(moment);
  element.title = element.dateTime;
}
