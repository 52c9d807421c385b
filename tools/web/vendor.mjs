// Builds the third-party browser modules that custody serves, from the packages
// that package-lock.json pins, into src/web/assets/vendor:
//
//   node vendor.mjs           write the files
//   node vendor.mjs --check   exit 1 when a committed file is not what the lock file gives
//
// The built files are committed, so that neither a build of custody nor a page
// needs npm or the network. Run `npm ci` first.
import { build } from "esbuild";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const committed = join(here, "../../src/web/assets/vendor");
const npm = (path) => join(here, "node_modules", path);

// One entry per module: `code` is its whole source, `packages` what it bundles.
const modules = {
  ed25519: {
    packages: ["@noble/ed25519", "@noble/hashes"],
    code: `
      import { hashes } from "@noble/ed25519";
      import { sha512 } from "@noble/hashes/sha2.js";
      // Without this only the async calls work.
      hashes.sha512 = sha512;
      export { etc, getPublicKey, hash, hashes, keygen, Point, sign, utils, verify } from "@noble/ed25519";
      export { sha256, sha512 } from "@noble/hashes/sha2.js";
      export { hmac } from "@noble/hashes/hmac.js";`,
  },
  protobuf: {
    packages: ["@bufbuild/protobuf"],
    // The first two lines are for pages; the rest is what connect.js imports from here.
    code: `
      export { create, createFileRegistry, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
      export { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
      export { file_google_protobuf_any } from "@bufbuild/protobuf/wkt";
      export { fileDesc, messageDesc } from "@bufbuild/protobuf/codegenv2";
      export { fromJsonString, toJsonString } from "@bufbuild/protobuf";
      export { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";`,
  },
  connect: {
    packages: ["@connectrpc/connect", "@connectrpc/connect-web"],
    sharesProtobuf: true,
    code: `
      export { Code, ConnectError, createClient } from "@connectrpc/connect";
      export { createGrpcWebTransport } from "@connectrpc/connect-web";`,
  },
  zxing: {
    packages: ["zxing-wasm"],
    code: `export { prepareZXingModule, readBarcodes } from "zxing-wasm/reader";`,
  },
  idb: { packages: ["idb"], code: `export { openDB } from "idb";` },
  uplot: { packages: ["uplot"], code: `export { default as uPlot } from "uplot";` },
};

// Two copies of the protobuf runtime would not know each other's messages, so
// connect.js takes it from protobuf.js rather than bundling its own.
const sharedProtobuf = {
  name: "shared-protobuf",
  setup: (b) =>
    b.onResolve({ filter: /^@bufbuild\/protobuf(\/|$)/ }, () => ({
      path: "./protobuf.js",
      external: true,
      sideEffects: false,
    })),
};

// zxing-wasm loads its wasm from a public CDN unless told otherwise. The copy
// beside the module is the only one that a page may use.
const localWasm = {
  name: "local-wasm",
  setup: (b) =>
    b.onLoad({ filter: /zxing-wasm[\\/]dist[\\/]es[\\/]share\.js$/ }, async ({ path }) => {
      const cdn = /`https:\/\/[^`]*\$\{e\}`/g;
      const source = await readFile(path, "utf8");
      if (source.match(cdn)?.length !== 1) throw new Error("zxing-wasm: the wasm's address is no longer where it was");
      return { contents: source.replace(cdn, "new URL(e, import.meta.url).href") };
    }),
};

async function describe(name) {
  const { version, license } = JSON.parse(await readFile(npm(`${name}/package.json`), "utf8"));
  return `${name} ${version} (${license.replace(/^\((.*)\)$/, "$1")})`;
}

async function banner(packages) {
  const names = await Promise.all(packages.map(describe));
  if (packages.includes("zxing-wasm")) names.push("zxing-cpp (Apache-2.0)");
  return `/*! ${names.join(", ")}. Licence texts: LICENSES.txt */`;
}

async function buildAll(outdir) {
  await mkdir(outdir, { recursive: true });
  for (const [name, { packages, code, sharesProtobuf }] of Object.entries(modules)) {
    await build({
      stdin: { contents: code, resolveDir: here, sourcefile: `${name}.js` },
      outfile: join(outdir, `${name}.js`),
      absWorkingDir: here,
      bundle: true,
      minify: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      legalComments: "none", // the banner and LICENSES.txt say it all, once
      banner: { js: await banner(packages) },
      plugins: [localWasm, ...(sharesProtobuf ? [sharedProtobuf] : [])],
      logLevel: "warning",
    });
  }
  await writeFile(join(outdir, "zxing_reader.wasm"), await readFile(npm("zxing-wasm/dist/reader/zxing_reader.wasm")));
  await writeFile(join(outdir, "uplot.css"), await readFile(npm("uplot/dist/uPlot.min.css")));
  await writeFile(join(outdir, "LICENSES.txt"), await licences());
}

async function licences() {
  const shipped = async (name) => (await readFile(npm(`${name}/LICENSE`), "utf8")).trim();
  // The Apache-2.0 packages that are bundled ship no copy of the licence; its
  // text is the same everywhere, and ECharts has it followed by its own notes.
  const apache = (await shipped("echarts")).split(/^ *END OF TERMS AND CONDITIONS/m)[0].trim();
  // Line comments at the top of a file, up to the first line that is none.
  const header = async (path) =>
    /^(?:\/\/.*\n)+/.exec(await readFile(npm(path), "utf8"))[0].replace(/^\/\/ ?/gm, "").trim();

  const parts = [
    ["Apache License, Version 2.0 (for the packages named below as under Apache-2.0)", apache],
    [await describe("@bufbuild/protobuf"),
      `Copyright 2021-2026 Buf Technologies, Inc. Apache-2.0, see above.\n\nThe variable-length integer coding in it:\n\n` +
      await header("@bufbuild/protobuf/dist/esm/wire/varint.js")],
    [`${await describe("@connectrpc/connect")}, ${await describe("@connectrpc/connect-web")}`,
      "Copyright 2021-2026 The Connect Authors. Apache-2.0, see above."],
    [await describe("@noble/ed25519"), await shipped("@noble/ed25519")],
    [await describe("@noble/hashes"), await shipped("@noble/hashes")],
    [await describe("idb"), await shipped("idb")],
    [await describe("uplot"), await shipped("uplot")],
    [await describe("zxing-wasm"), await shipped("zxing-wasm")],
    ["zxing-cpp (compiled into zxing_reader.wasm)", zxingNotice],
  ];
  const rule = "=".repeat(78);
  return parts.map(([title, text]) => `${rule}\n${title}\n${rule}\n\n${text}\n`).join("\n");
}

// The zxing-wasm package names zxing-cpp's licence in its README, but ships no
// notice of it nor of libzueci, which zxing-cpp carries in its own source.
const zxingNotice = `Copyright the ZXing authors and the zxing-cpp authors. Apache-2.0, see above.

libzueci, in zxing-cpp:

Copyright (C) 2022 gitlost

Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions
are met:

1. Redistributions of source code must retain the above copyright
   notice, this list of conditions and the following disclaimer.
2. Redistributions in binary form must reproduce the above copyright
   notice, this list of conditions and the following disclaimer in the
   documentation and/or other materials provided with the distribution.
3. Neither the name of the project nor the names of its contributors
   may be used to endorse or promote products derived from this software
   without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND
ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED
WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDERS OR CONTRIBUTORS BE LIABLE
FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER
CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY,
OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.`;

// Loading every module shows that it links: an external import that protobuf.js
// does not export would only be found out in a browser otherwise.
async function report(outdir) {
  for (const file of (await readdir(outdir)).sort()) {
    const bytes = await readFile(join(outdir, file));
    const names = file.endsWith(".js") ? Object.keys(await import(pathToFileURL(join(outdir, file)))).join(" ") : "";
    const size = gzipSync(bytes, { level: 9 }).length;
    console.log(`${file.padEnd(18)} ${String(bytes.length).padStart(7)} B  gzip ${String(size).padStart(6)} B  ${names}`);
  }
}

async function differences(fresh) {
  const files = new Set([...(await readdir(fresh)), ...(await readdir(committed).catch(() => []))]);
  const read = (dir, file) => readFile(join(dir, file)).catch(() => null);
  const found = [];
  for (const file of [...files].sort()) {
    const [want, have] = [await read(fresh, file), await read(committed, file)];
    if (!have) found.push(`${file}: missing`);
    else if (!want) found.push(`${file}: not made by vendor.mjs`);
    else if (!want.equals(have)) found.push(`${file}: differs from what the lock file gives`);
  }
  return found;
}

if (process.argv.includes("--check")) {
  const fresh = await mkdtemp(join(tmpdir(), "vendor-"));
  try {
    await buildAll(fresh);
    const found = await differences(fresh);
    for (const line of found) console.error(`src/web/assets/vendor/${line}`);
    if (found.length) console.error("Run `npm ci && node vendor.mjs` in tools/web and commit what it writes.");
    else console.log("src/web/assets/vendor is what tools/web/package-lock.json gives");
    process.exitCode = found.length ? 1 : 0;
  } finally {
    await rm(fresh, { recursive: true });
  }
} else {
  await rm(committed, { recursive: true, force: true });
  await buildAll(committed);
  await report(committed);
}
