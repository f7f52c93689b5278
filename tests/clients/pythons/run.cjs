// Runs `main` of a Python file in a build of CPython for WebAssembly: run.cjs PYODIDE FILE SITE_PACKAGES CLIENT
const fs = require("fs");
const path = require("path");

const [folder, file, packages, client] = process.argv.slice(2);

const PRELUDE = `
import sys, types
sys.path[:0] = ["/client", "/packages"]
try:
    import ssl
except ImportError:
    # Absent from some of these builds. Nothing here opens a connection.
    sys.modules["ssl"] = types.ModuleType("ssl")
    sys.modules["ssl"].SSLContext = object
`;

async function main() {
  const { loadPyodide } = await import(path.join(folder, "pyodide.mjs")).catch(() =>
    require(path.join(folder, "pyodide.js")),
  );
  const pyodide = await loadPyodide({ indexURL: folder + path.sep });
  for (const [place, root] of [["/packages", packages], ["/client", client]]) {
    pyodide.FS.mkdir(place);
    pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root }, place);
  }
  await pyodide.runPythonAsync(`${PRELUDE}\n${fs.readFileSync(file, "utf8")}\nawait main()`);
}

main().catch((error) => {
  // Not the whole error: Node would print the line of minified source that threw it.
  console.error(error.message);
  process.exit(1);
});
