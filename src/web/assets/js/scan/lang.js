// The two languages, and small help with the page.

/** One of two texts, in the language of the page. */
export function t(zh, en) {
  return document.documentElement.lang === 'en' ? en : zh;
}

/** An element with attributes and children; texts are never read as HTML. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'on') for (const [event, call] of Object.entries(value)) element.addEventListener(event, call);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** What went wrong, in the language of the page. */
export function inWords(error) {
  return error.zh ? t(error.zh, error.en) : error.message;
}

/** An error that says in both languages what is wrong. */
export class Wrong extends Error {
  constructor(zh, en) {
    super(en);
    this.zh = zh;
    this.en = en;
  }
}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
export const equal = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** Hours and minutes on this device. */
export const clockTime = (ms) => new Date(ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hour12: false });
