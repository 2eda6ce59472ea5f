// The packed chunks: the details of each item, and what was said in it, unpacked when somebody reads them.

let chunkList = null;

/** The packed chunks, in order; they stand after the scripts, so they are there when the page has been read. */
async function allChunks() {
  if (document.readyState === "loading") await new Promise((done) => addEventListener("DOMContentLoaded", done, { once: true }));
  chunkList ??= [...document.querySelectorAll("script.chunk")].map((node) => ({ node, first: Number(node.dataset.first) }));
  return chunkList;
}

const unpacked = new Map();

async function unpack(chunk) {
  if (unpacked.has(chunk)) return unpacked.get(chunk);
  const packed = atob(chunk.node.textContent), bytes = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const made = JSON.parse(await new Response(stream).text());
  if (unpacked.size > 7) unpacked.delete(unpacked.keys().next().value); // a few are enough to read in
  unpacked.set(chunk, made);
  return made;
}

async function detailOf(item) {
  const chunk = (await allChunks()).findLast((one) => one.first <= item);
  const { texts, items } = await unpack(chunk);
  return { detail: items[item - chunk.first], texts };
}
