// Keeps one promise of a script: `node keep.mjs with_sdk_3 rangesAreExact`.
const [script, promise] = process.argv.slice(2);
await (await import(`./${script}.mjs`))[promise]();
