// The same pictures by sharp: `node derive.mjs SOURCE FOLDER JOBS WAY` prints the CPU milliseconds of each job.
import sharp from "sharp";

const [source, folder, jobs, way] = process.argv.slice(2);
const wanted = [
  [200, "jpeg"],
  [600, "jpeg"],
  [1200, "jpeg"],
  [1600, "webp"],
];
sharp.concurrency(1); // one thread, as one worker has
sharp.cache(false);

// As its documentation shows it: each picture from the file.
const each = () =>
  Promise.all(wanted.map(([width, format]) => made(sharp(source), width, format)));

// Decoded once, to the largest, and the others from that.
const once = async () => {
  const { data, info } = await sharp(source).resize(1600).raw().toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  await Promise.all(
    wanted.map(([size, format]) => made(sharp(data, { raw: { width, height, channels } }), size, format)),
  );
};

const made = (image, width, format) =>
  image.resize(width)[format]({ quality: 80 }).toFile(`${folder}/sharp-${width}.${format}`);

const spent = [];
for (let job = 0; job < Number(jobs); job++) {
  const before = process.cpuUsage();
  await (way === "each" ? each() : once());
  const { user, system } = process.cpuUsage(before);
  spent.push((user + system) / 1000);
}
console.log(JSON.stringify(spent));
