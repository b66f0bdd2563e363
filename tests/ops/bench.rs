//! `wgdnn bench`, as a user runs it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs it on workloads of these names, as short as can be.
fn bench(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgdnn"));
    let output = command.args(["bench", "--batch", "0.001", "--samples", "3"]).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

fn records(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn each_workload_is_a_line_of_json() {
    let (code, text) = bench(&["--only", "seed", "--json", "--peer", "ours"]);
    assert_eq!(code, Some(0), "{text}");
    let records = records(&text);
    assert_eq!(records.len(), 6, "{text}");
    for record in &records {
        assert_eq!(record["peer"], "ours");
        for member in ["median_ms", "min_ms", "first_ms", "max_abs_err", "ref_max", "gbs", "roofline"] {
            assert!(record[member].as_f64().is_some_and(|number| number > 0.0), "{member}: {record}");
        }
        assert_eq!(record["note"], "");
        assert!(record["max_abs_err"].as_f64() < Some(1e-5));
    }
}

/// A backward pass, by what forward saves for it where it is not given; forward and backward; and what cannot be.
#[test]
fn gradients_are_workloads_too() {
    let file = std::env::temp_dir().join(format!("wgdnn-test-backward-{}.json", std::process::id()));
    let own = r#"[
        {"id": "indices", "op": "max_pool2d_bwd", "params": {"kernel": 3, "stride": 2},
         "inputs": [{"name": "x", "shape": [2, 3, 9, 8], "init": "normal", "aux": true},
                    {"name": "dy", "shape": [2, 3, 4, 3], "init": "normal"},
                    {"name": "indices", "shape": [2, 3, 4, 3], "init": "maxpool_index"}],
         "outputs": [{"name": "dx", "shape": [2, 3, 9, 8]}], "min_bytes": 1e3},
        {"id": "by output", "op": "tanh_bwd", "params": {},
         "inputs": [{"name": "x", "shape": [99], "init": "normal"}, {"name": "dy", "shape": [99], "init": "normal"}],
         "outputs": [{"name": "dx", "shape": [99]}]},
        {"id": "of ones", "op": "silu_bwd", "params": {},
         "inputs": [{"name": "x", "shape": [99], "init": "normal"}], "outputs": [{"name": "dx", "shape": [99]}]},
        {"id": "both", "op": "tanh_fwdbwd", "params": {},
         "inputs": [{"name": "x", "shape": [99], "init": "normal"}], "outputs": [{"name": "dx", "shape": [99]}]},
        {"id": "no input", "op": "silu_bwd", "params": {},
         "inputs": [{"name": "dy", "shape": [99], "init": "normal"}], "outputs": [{"name": "dx", "shape": [99]}]},
        {"id": "other shape", "op": "tanh_bwd", "params": {},
         "inputs": [{"name": "x", "shape": [99], "init": "normal"}, {"name": "dy", "shape": [98], "init": "normal"}],
         "outputs": [{"name": "dx", "shape": [99]}]},
        {"id": "no such gradient", "op": "tanh_bwd", "params": {},
         "inputs": [{"name": "x", "shape": [99], "init": "normal"}], "outputs": [{"name": "dweight", "shape": [99]}]},
        {"id": "no such operator", "op": "nothing_bwd", "params": {}, "inputs": [], "outputs": []}
    ]"#;
    std::fs::write(&file, own).unwrap();
    let (code, text) = bench(&["--workloads", file.to_str().unwrap(), "--json"]);
    let records = records(&text);
    assert_eq!((code, records.len()), (Some(1), 8), "{text}");
    for record in &records[..4] {
        assert!(record["max_abs_err"].as_f64() < Some(1e-6) && record["ref_max"].as_f64() > Some(0.1), "{record}");
        assert!(record["median_ms"].as_f64() > Some(0.0) && record["note"] == "", "{record}");
    }
    let notes = [
        "failed: no input: the backward pass needs the input input",
        "failed: tanh_backward: grad_output: expected shape [99], got shape [98]",
        "unsupported: tanh_bwd: grad_weight",
        "unsupported: the operator nothing_bwd",
    ];
    for (record, note) in records[4..].iter().zip(notes) {
        assert_eq!(record["note"], note);
    }
    std::fs::remove_file(&file).unwrap();
}

/// Every row that there is can be planned.
#[test]
fn the_rows_are_of_operators() {
    use wgdnn::cases::workload::Workload;

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/workloads.json");
    let workloads: Vec<Workload> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    for workload in &workloads {
        let calls = workload.planned().unwrap_or_else(|refusal| panic!("{}: {refusal}", workload.id));
        let made = calls.last().unwrap().output_zeros();
        let has_gradient = made.keys().any(|name| name.starts_with("grad_"));
        assert_eq!(has_gradient, workload.op.contains("bwd"), "{}", workload.id);
        for (output, zeros) in workload.outputs.iter().zip(made.values()) {
            // A loss is a scalar.
            let shape = if output.shape == [1] { &[][..] } else { &output.shape };
            assert!(calls.len() > 1 || made.values().any(|zeros| zeros.shape() == shape), "{zeros:?}");
        }
    }
}

#[test]
fn workloads_of_ones_own_run_and_bad_ones_are_told() {
    let folder = std::env::temp_dir().join(format!("wgdnn-test-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (file, plot) = (folder.join("own.json"), folder.join("roofline.svg"));
    let own = r#"[
        {"id": "conv2d.own", "op": "conv2d", "params": {"padding": [1, 0], "groups": 3},
         "inputs": [{"name": "x", "shape": [2, 3, 9, 8], "init": "normal"},
                    {"name": "weight", "shape": [6, 1, 3, 2], "init": "uniform:-1:1"}], "flops": 1e4, "min_bytes": 1e3},
        {"id": "conv2d.bad", "op": "conv2d", "params": {},
         "inputs": [{"name": "x", "shape": [2, 3, 9, 8], "init": "normal"},
                    {"name": "weight", "shape": [6, 2, 3, 2], "init": "normal"}]},
        {"id": "sigmoid.none", "op": "sigmoid", "params": {}, "inputs": []}
    ]"#;
    std::fs::write(&file, own).unwrap();
    let (file, plot) = (file.to_str().unwrap(), plot.to_str().unwrap());
    let (code, text) = bench(&["--workloads", file, "--json", "--plot", plot]);
    let records = records(&text);
    assert_eq!((code, records.len()), (Some(1), 3), "{text}");
    assert!(records[0]["max_abs_err"].as_f64().unwrap() < 1e-5);
    assert!(records[1]["note"].as_str().unwrap().starts_with("failed: conv2d: weight"), "{text}");
    assert!(records[2]["note"].as_str().unwrap().starts_with("failed: sigmoid: input"), "{text}");
    let svg = std::fs::read_to_string(plot).unwrap();
    assert!(svg.contains("<svg") && svg.contains("own"), "{svg}");

    let (code, text) = bench(&["--workloads", "no/such/file.json"]);
    assert!(code == Some(2) && text.contains("no/such/file.json"), "{text}");
    let (code, text) = bench(&["--only", "no such workload"]);
    assert!(code == Some(2) && text.contains("no workload fits"), "{text}");
    let (_, text) = bench(&["--only", "seed_k3", "--algorithm", "gather", "--json"]);
    assert!(text.contains("unsupported: the algorithm gather"), "{text}");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A plot is whole or not there, and one that cannot be written is refused before anything is measured.
#[cfg(target_os = "linux")]
#[test]
fn a_plot_that_cannot_be_written_is_refused() {
    let folder = std::env::temp_dir().join(format!("wgdnn-test-plot-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let plot = folder.join("roofline.svg");
    std::fs::write(&plot, "what was there").unwrap();
    let none = folder.join("none/roofline.svg");
    for path in [folder.as_path(), none.as_path(), Path::new("/dev/full"), Path::new("/")] {
        let path = path.to_str().unwrap();
        let (code, text) = bench(&["--only", "seed", "--json", "--plot", path]);
        assert!(code == Some(2) && text.contains(path) && !text.contains("median_ms"), "{path}: {text}");
    }

    // A disk that is full: no file may have more than 512 or 1024 bytes. Mesa's own cache must not matter.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_wgdnn"), "bench"]);
    command.args(["--batch", "0.001", "--samples", "1", "--only", "seed_k3", "--json", "--plot"]).arg(&plot);
    let output = command.env("MESA_SHADER_CACHE_DISABLE", "true").output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.code() == Some(2) && text.contains("roofline.svg: "), "{:?}: {text}", output.status);
    assert!(text.contains("median_ms"), "{text}");
    assert_eq!(std::fs::read_to_string(&plot).unwrap(), "what was there");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "something was left behind");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn workloads_are_regular_files_and_forge_no_line() {
    let (code, text) = bench(&["--workloads", "/dev/zero"]);
    assert!(code == Some(2) && text.contains("/dev/zero: expected a regular file"), "{text}");
    let file = std::env::temp_dir().join(format!("wgdnn-test-forged-{}.json", std::process::id()));
    let workload = r#"[{"id": "sigmoid.a\n999 passed", "op": "sig\n998 moid", "params": {}, "inputs": []}]"#;
    std::fs::write(&file, workload).unwrap();
    let (_, text) = bench(&["--workloads", file.to_str().unwrap()]);
    assert!(text.contains("sigmoid.a\\n999 passed") && text.contains("sig\\n998 moid"), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("99")), "{text}");
    std::fs::remove_file(&file).unwrap();
}
