//! `wgdnn check`: what it accepts, and that nothing in a folder makes it panic.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, cases: &[u8], tensors: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("wgdnn-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("cases.jsonl"), cases).unwrap();
        std::fs::write(path.join("tensors.safetensors"), tensors).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn check(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wgdnn")).arg("check").arg(folder).args(arguments).output().unwrap()
}

#[track_caller]
fn expect(output: &Output, status: i32, text: &str) {
    let all = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!all.contains("panicked"), "{all}");
    assert_eq!(output.status.code(), Some(status), "{all}");
    assert!(all.contains(text), "{all} does not say {text:?}");
}

fn golden(source: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(source)
}

/// The tensors of the report, among them `report/sigmoid/output` and its input.
fn tensors() -> Vec<u8> {
    std::fs::read(golden("report").join("tensors.safetensors")).unwrap()
}

#[test]
fn golden_folders_pass() {
    for device in ["cpu", "gpu"] {
        expect(&check(&golden("onnx"), &["--device", device]), 0, "54 passed, 0 failed, 0 unsupported");
        expect(&check(&golden("corners"), &["--device", device, "--op", "sigmoid"]), 0, "4 passed, 0 failed");
        expect(&check(&golden("corners"), &["--device", device, "--id", "sigmoid", "--json"]), 0, "\"passed\": 4");
    }
}

#[test]
fn what_is_wrong_fails_and_what_is_not_there_is_unsupported() {
    let input = "report/flatten/input.in";
    let case = |id: &str, op: &str, params: &str, extra: &str, atol: &str| {
        format!(
            "{{\"id\":\"{id}\",\"op\":\"{op}\",\"params\":{params},\"inputs\":{{\"input\":\"{input}\"{extra}}},\
             \"outputs\":{{\"output\":{{\"tensor\":\"report/sigmoid/output\",\"atol\":{atol}}}}}}}\n"
        )
    };
    let lines = [
        case("right", "sigmoid", "{}", "", "1e-6"),
        case("too tight", "sigmoid", "{}", "", "0"),
        case("other shape", "flatten", "{}", "", "1e9"),
        case("unknown parameter", "sigmoid", "{\"inplace\":true}", "", "1"),
        case("unknown input", "sigmoid", "{}", ",\"other\":\"report/flatten/input.in\"", "1"),
        case("unknown operator", "softmax", "{}", "", "1"),
        case("backward", "sigmoid", "{}", ",\"grad_output\":\"report/flatten/input.in\"", "1"),
        format!("{{\"id\":\"not refused\",\"op\":\"sigmoid\",\"inputs\":{{\"input\":\"{input}\"}},\"error\":true}}\n"),
        "{\"id\":\"refused\",\"op\":\"sigmoid\",\"error\":true}\n".to_owned(),
    ];
    let folder = Folder::new("wrong", lines.concat().as_bytes(), &tensors());
    for device in ["cpu", "gpu"] {
        let output = check(&folder.0, &["--device", device]);
        // On the CPU the reference is exact, so the bound of 0 is met there.
        let counts = if device == "cpu" { "3 passed, 4 failed" } else { "2 passed, 5 failed" };
        expect(&output, 1, &format!("{counts}, 2 unsupported"));
        expect(&output, 1, "failed unknown parameter: not a case: sigmoid has no parameter \"inplace\"");
        expect(&output, 1, "unsupported backward: sigmoid: the backward pass");
    }
    expect(&check(&folder.0, &["--device", "gpu", "--id", "too tight"]), 1, "difference");
}

#[test]
fn a_folder_that_cannot_be_read_is_status_2() {
    let line = |text: &str| format!("{text}\n").into_bytes();
    let good = tensors();
    for (index, (cases, tensors, says)) in [
        (line("not json"), good.clone(), "line 1"),
        (line("[1, 2]"), good.clone(), "not an object"),
        (line("{}"), good.clone(), "line 1"),
        (line("{\"id\":1,\"op\":\"sigmoid\",\"error\":true}"), good.clone(), "id is not a text"),
        (line("{\"id\":\"a\",\"op\":\"sigmoid\"}"), good.clone(), "neither outputs nor an error"),
        (
            line("{\"id\":\"a\",\"op\":\"sigmoid\",\"inputs\":{\"input\":\"none\"},\"error\":true}"),
            good.clone(),
            "no array",
        ),
        (
            line("{\"id\":\"a\",\"op\":\"sigmoid\",\"inputs\":3,\"error\":true}"),
            good.clone(),
            "inputs is not an object",
        ),
        (line("{\"id\":\"a\",\"op\":\"sigmoid\",\"error\":\"yes\"}"), good.clone(), "error is neither"),
        (vec![0xff, 0xfe, 0x00], good.clone(), "cases.jsonl"),
        (Vec::new(), good.clone(), "no case fits"),
        (line("{\"id\":\"a\",\"op\":\"sigmoid\",\"error\":true}"), Vec::new(), "tensors.safetensors"),
        (line("{\"id\":\"a\",\"op\":\"sigmoid\",\"error\":true}"), vec![0xff; 100], "tensors.safetensors"),
        (
            line("{\"id\":\"a\",\"op\":\"sigmoid\",\"error\":true}"),
            good[..good.len() / 2].to_vec(),
            "tensors.safetensors",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = Folder::new(&format!("unreadable-{index}"), &cases, &tensors);
        expect(&check(&folder.0, &["--device", "cpu"]), 2, says);
    }
    expect(&check(Path::new("/nonexistent"), &[]), 2, "cases.jsonl");
}

#[test]
fn damaged_folders_do_not_panic() {
    let cases = std::fs::read(golden("onnx").join("cases.jsonl")).unwrap();
    let tensors = std::fs::read(golden("onnx").join("tensors.safetensors")).unwrap();
    // One byte changed in each, at places spread over the files.
    for step in 0..40_usize {
        let (mut cases, mut tensors) = (cases.clone(), tensors.clone());
        let at = step * 7919 % cases.len();
        cases[at] = cases[at].wrapping_add(1 + step as u8);
        let at = step * 104_729 % tensors.len().min(20_000);
        tensors[at] = tensors[at].wrapping_add(1 + step as u8);
        let folder = Folder::new(&format!("damaged-{step}"), &cases, &tensors);
        let output = check(&folder.0, &["--device", "cpu"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert!(matches!(output.status.code(), Some(0..=2)), "{:?}", output.status);
    }
}
