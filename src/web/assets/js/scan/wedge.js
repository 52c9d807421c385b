// The input that hand scanners type into, and people too. A scanner types fast and ends with Enter.

const GS = '\u001d';

/**
 * @param {HTMLFormElement} form with an input named `code`
 * @param {HTMLButtonElement} keyboard shows the keyboard of the screen, or hides it
 * @param {(text: string) => void} onCode
 */
export function listenForCodes(form, keyboard, onCode) {
  const input = form.elements.code;
  const isHere = () => input.offsetParent !== null;
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const text = input.value;
    input.value = '';
    input.focus({ preventScroll: true });
    if (text.trim()) onCode(text);
  });
  input.addEventListener('keydown', (event) => {
    // Scanners send FNC1 as Ctrl and ].
    if (event.key !== GS && !(event.ctrlKey && event.key === ']')) return;
    event.preventDefault();
    input.setRangeText(GS, input.selectionStart, input.selectionEnd, 'end');
  });
  keyboard.addEventListener('click', () => {
    const typing = input.inputMode === 'none';
    input.inputMode = typing ? 'text' : 'none';
    keyboard.setAttribute('aria-pressed', typing);
    input.blur();
    input.focus();
  });
  // What is typed while nothing has the focus is meant for the input.
  document.addEventListener('keydown', (event) => {
    const elsewhere = event.target.closest?.('input, select, textarea, button, a, summary');
    if (isHere() && !elsewhere && event.key.length === 1 && !event.ctrlKey && !event.metaKey) input.focus({ preventScroll: true });
  });
}
