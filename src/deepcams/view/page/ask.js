// Asking the server.

/** An answer; what is wrong is an error. */
export async function ask(path, values, signal) {
  const answer = await fetch(`api/${path}?${new URLSearchParams(values)}`, { signal });
  if (!answer.ok) {
    let text = `the server answered ${answer.status}`;
    try { text = (await answer.json()).error; } catch { /* it was no JSON */ }
    throw new Error(text);
  }
  return answer;
}
