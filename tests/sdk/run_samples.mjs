// Runs samples in turn and prints what they said, as run_samples.py does: `node run_samples.mjs JOBS`.
import { pathToFileURL } from "node:url";

const said = {};
const write = process.stdout.write.bind(process.stdout);
for (const [name, path, environment] of JSON.parse(process.argv[2])) {
  Object.assign(process.env, environment);
  let out = "";
  process.stdout.write = (piece) => {
    out += piece;
    return true;
  };
  try {
    // Another address each time: a module that was imported is not run again.
    await import(`${pathToFileURL(path)}?${encodeURIComponent(name)}`);
  } catch (error) {
    out += `${error.stack}\nFAILED`;
  }
  process.stdout.write = write;
  said[name] = out;
}
write(JSON.stringify(said));
