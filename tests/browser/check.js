// Compiles every kernel in a real browser: Tint, the WGSL compiler of Chrome and Edge, is stricter than naga, and
// SwiftShader, which chromium brings, is another adapter that runs on the CPU.
//
//     wgdnn kernels FOLDER
//     npm ci --ignore-scripts && node check.js FOLDER
//
// Every kernel becomes a pipeline within SECONDS_PER_KERNEL (5), but for those that no adapter with such a compiler is
// given: of them only the module is compiled. What took more than 2 s is printed. CHROMIUM names the browser.
const { chromium } = require('playwright-core');
const fs = require('fs'), http = require('http'), os = require('os'), path = require('path');

const SECONDS = Number(process.env.SECONDS_PER_KERNEL || 5);
const SLOW_MS = 2000;
const FLAGS = [
  '--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan',
  '--use-vulkan=swiftshader', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--disable-quic', '--no-first-run',
];

// Floats in atomics are native only.
const isNativeOnly = kernel => kernel.file.includes('float32_atomic');

// The transforms of Winograd's algorithms take SwiftShader's compiler more than 40 s. Only llvmpipe is given them, and
// whoever asks for Winograd4x4 by name.
const isModuleOnly = kernel => /^conv2d_winograd(2x2|4x4)(_epilogue)?\.wgsl$/.test(kernel.file)
  && kernel.automatic_on.every(type => type === 'llvmpipe');

// Runs in the page.
async function compile({ kernel, isModuleOnly }) {
  if (!window.device) {
    const adapter = await navigator.gpu.requestAdapter();
    if (!adapter) return { errors: ['there is no adapter'] };
    const requiredFeatures = ['subgroups'].filter(feature => adapter.features.has(feature));
    window.device = await adapter.requestDevice({ requiredFeatures });
  }
  // naga takes operations of subgroups without the directive, and browsers want it.
  const wants = /\bsubgroup[A-Z]/.test(kernel.source) && !/^enable subgroups/m.test(kernel.source);
  const code = (wants ? 'enable subgroups;\n' : '') + kernel.source;
  const module = window.device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  const errors = messages.filter(message => message.type === 'error');
  if (errors.length) return { errors: errors.map(error => `${error.lineNum}: ${error.message.split('\n')[0]}`) };
  if (isModuleOnly) return { ms: 0 };
  const begin = performance.now();
  const compute = { module, entryPoint: kernel.entry_point, constants: kernel.constants };
  try {
    await window.device.createComputePipelineAsync({ layout: 'auto', compute });
  } catch (error) {
    return { errors: [String(error).split('\n')[0]] };
  }
  return { ms: Math.round(performance.now() - begin) };
}

async function main(folder) {
  const lines = fs.readFileSync(path.join(folder, 'kernels.jsonl'), 'utf8').split('\n').filter(Boolean);
  const kernels = lines.map(line => JSON.parse(line));
  for (const kernel of kernels) kernel.source = fs.readFileSync(path.join(folder, kernel.file), 'utf8');

  // WebGPU is there for secure pages alone, such as this host's own.
  const server = http.createServer((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end('<p>kernels');
  });
  await new Promise(done => server.listen(0, '127.0.0.1', done));
  const profiles = [];
  const start = async () => {
    const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'wgdnn-browser-'));
    profiles.push(profile);
    const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
    const context = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: FLAGS });
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    return { context, page };
  };

  let browser = await start();
  let passed = 0, failed = 0, skipped = 0, modulesOnly = 0;
  const fail = (name, reason) => {
    failed++;
    console.log(`failed ${name}: ${reason}`);
  };
  for (const kernel of kernels) {
    const name = `${kernel.file} ${kernel.entry_point} ${JSON.stringify(kernel.constants)}`;
    if (isNativeOnly(kernel)) {
      skipped++;
      console.log(`skipped ${name}: atomic floats are native only`);
      continue;
    }
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer in ${SECONDS} s`)), SECONDS * 1000);
    });
    const moduleOnly = isModuleOnly(kernel);
    try {
      const result = await Promise.race([browser.page.evaluate(compile, { kernel, isModuleOnly: moduleOnly }), late]);
      if (result.errors) {
        fail(name, result.errors.slice(0, 2).join(' | '));
      } else {
        passed++;
        modulesOnly += moduleOnly;
        if (result.ms > SLOW_MS) console.log(`slow ${name}: ${result.ms} ms (${kernel.automatic_on.join(', ') || 'by name'})`);
      }
    } catch (error) {
      fail(name, String(error.message || error).split('\n')[0]);
      // It is still at work.
      await browser.context.close().catch(() => {});
      browser = await start();
    } finally {
      clearTimeout(timer);
    }
  }
  await browser.context.close().catch(() => {});
  server.close();
  for (const profile of profiles) fs.rmSync(profile, { recursive: true, force: true });
  console.log(`${modulesOnly} as modules only`);
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exit(failed || passed === 0 ? 1 : 0);
}

if (!process.argv[2]) {
  console.error('usage: node check.js FOLDER');
  process.exit(2);
}
main(process.argv[2]).catch(error => {
  console.error(error);
  process.exit(2);
});
