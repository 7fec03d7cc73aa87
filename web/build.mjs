// Builds the console into OUT (`dist` by default), the same bytes each time: one script, one sheet, the page, the icon,
// and the licences of what is bundled with it.
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const out = process.argv[2] ?? "dist";
const LICENCES = ["MIT"];

// The packages that have a share in the script or the sheet, with their licences' words.
async function licences(inputs) {
  const names = new Set();
  for (const path of Object.keys(inputs)) {
    const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
    if (name) names.add(name);
  }
  const texts = [];
  for (const name of [...names].sort()) {
    const { version, license } = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"));
    if (!LICENCES.includes(license)) throw new Error(`${name} is under ${license}, which nobody has allowed here`);
    const text = await readFile(`node_modules/${name}/LICENSE`, "utf8");
    texts.push(`${name} ${version}\n\n${text.replaceAll("\r\n", "\n").trim()}\n`);
  }
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
const { metafile } = await build({
  entryPoints: { console: "src/main.tsx" },
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "inline",
  metafile: true,
  outdir: out,
});
await writeFile(`${out}/licences.txt`, await licences(metafile.inputs));
for (const name of ["index.html", "icon.svg"]) await copyFile(`src/${name}`, `${out}/${name}`);
