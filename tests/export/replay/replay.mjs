// An app that gives the answers of a folder: `replay CASES ANSWERS`.

import {readFileSync} from "node:fs";
import {check} from "./onenet_cases.mjs";
const [right, answers] = process.argv.slice(2);
const buffer = (file) => new Uint8Array(readFileSync(file)).buffer;
const names = ["whole", "larger", "smaller"], kinds = {float32: Float32Array, int8: Int8Array};
const table = readFileSync(`${right}/cases.txt`, "utf8");
const type = (what) => kinds[table.match(new RegExp(`^${what} (\\w+)`, "m"))[1]];
let name;
const app = {
  preprocess: () => new (type("input"))(buffer(`${answers}/${name = names.shift()}.input.bin`)),
  run: () => [new (type("output"))(buffer(`${answers}/${name}.output0.bin`))],
  labels: () => new Uint8Array(buffer(`${answers}/${name}.labels.bin`)),
};
for (const line of await check(app, (file) => buffer(`${right}/${file}`))) console.log(line);
