//! `wgdnn check`: what it accepts, and that nothing in a folder makes it panic.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::golden_folder;

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

/// The tensors of the report, among them `report/sigmoid/output` and its input.
fn tensors() -> Vec<u8> {
    std::fs::read(golden_folder("report").join("tensors.safetensors")).unwrap()
}

#[test]
fn golden_folders_pass() {
    for device in ["cpu", "gpu"] {
        expect(&check(&golden_folder("onnx"), &["--device", device]), 0, "103 passed, 0 failed, 0 unsupported");
        expect(&check(&golden_folder("corners"), &["--device", device, "--op", "sigmoid"]), 0, "4 passed, 0 failed");
        expect(
            &check(&golden_folder("corners"), &["--device", device, "--id", "sigmoid", "--json"]),
            0,
            "\"passed\": 4",
        );
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
        case("unknown operator", "layer_norm", "{}", "", "1"),
        case("no gradient", "sigmoid", "{}", ",\"grad_output\":\"report/flatten/input.in\"", "1"),
        case("no such gradient", "sigmoid", "{}", ",\"grad_output\":\"report/flatten/input.in\"", "1").replace(
            "\"outputs\":{",
            "\"outputs\":{\"grad_weight\":{\"tensor\":\"report/sigmoid/output\",\"atol\":1},",
        ),
        case("a list", "sigmoid", "{}", ",\"grad_output\":[\"report/flatten/input.in\"]", "1"),
        format!(
            "{{\"id\":\"refused gradient\",\"op\":\"sigmoid\",\"inputs\":{{\"input\":\"{input}\",\
             \"grad_output\":\"report/flatten/output\"}},\"error\":true}}\n"
        ),
        format!("{{\"id\":\"not refused\",\"op\":\"sigmoid\",\"inputs\":{{\"input\":\"{input}\"}},\"error\":true}}\n"),
        "{\"id\":\"refused\",\"op\":\"sigmoid\",\"error\":true}\n".to_owned(),
    ];
    let folder = Folder::new("wrong", lines.concat().as_bytes(), &tensors());
    for device in ["cpu", "gpu"] {
        let output = check(&folder.0, &["--device", device]);
        // On the CPU the reference is exact, so the bound of 0 is met there.
        let counts = if device == "cpu" { "4 passed, 7 failed" } else { "3 passed, 8 failed" };
        expect(&output, 1, &format!("{counts}, 1 unsupported"));
        expect(&output, 1, "failed unknown parameter: not a case: sigmoid has no parameter \"inplace\"");
        expect(
            &output,
            1,
            "failed no gradient: not a case: there is grad_output, but no gradient is expected, as grad_input",
        );
        expect(
            &output,
            1,
            "failed no such gradient: not a case: this call of sigmoid has no grad_weight, but grad_input",
        );
        expect(&output, 1, "failed a list: not a case: grad_output is a list");
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
    let cases = std::fs::read(golden_folder("onnx").join("cases.jsonl")).unwrap();
    let tensors = std::fs::read(golden_folder("onnx").join("tensors.safetensors")).unwrap();
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

/// Neither waits for what never comes, nor reads what never ends.
#[cfg(target_os = "linux")]
#[test]
fn only_regular_files_of_a_bounded_size_are_read() {
    let check = |folder: &Folder| {
        let program = env!("CARGO_BIN_EXE_wgdnn");
        let mut command = Command::new("timeout");
        command.args(["20", program, "check", "--device", "cpu"]).arg(&folder.0).output().unwrap()
    };
    for (index, name) in ["cases.jsonl", "tensors.safetensors"].into_iter().enumerate() {
        let replaced = |kind: &str| {
            let folder = Folder::new(&format!("{kind}-{index}"), b"", &tensors());
            std::fs::remove_file(folder.0.join(name)).unwrap();
            folder
        };
        let fifo = replaced("fifo");
        assert!(Command::new("mkfifo").arg(fifo.0.join(name)).status().unwrap().success());
        expect(&check(&fifo), 2, &format!("{name}: expected a regular file"));

        let zeros = replaced("zeros");
        std::os::unix::fs::symlink("/dev/zero", zeros.0.join(name)).unwrap();
        expect(&check(&zeros), 2, &format!("{name}: expected a regular file"));

        let folder = replaced("folder");
        std::fs::create_dir(folder.0.join(name)).unwrap();
        expect(&check(&folder), 2, &format!("{name}: expected a regular file"));

        // Without blocks, so that it takes no room.
        let large = replaced("large");
        std::fs::File::create(large.0.join(name)).unwrap().set_len(5 << 30).unwrap();
        let most = if index == 0 { 256_u64 << 20 } else { 4 << 30 };
        expect(&check(&large), 2, &format!("{name}: expected at most {most} bytes, got {}", 5_u64 << 30));
    }
}

#[test]
fn texts_of_a_file_forge_no_line() {
    let forged = "\\n999 passed, 0 failed, 0 unsupported\\u001b[2J\\u0085";
    let input = "report/flatten/input.in";
    let lines = [
        format!("{{\"id\":\"a{forged}\",\"op\":\"sigmoid\",\"inputs\":{{\"input\":\"{input}\"}},\"error\":true}}\n"),
        format!("{{\"id\":\"b\",\"op\":\"c{forged}\",\"inputs\":{{\"input\":\"{input}\"}},\"error\":true}}\n"),
        format!(
            "{{\"id\":\"c\",\"op\":\"sigmoid\",\"inputs\":{{\"input\":\"{input}\"}},\
             \"outputs\":{{\"d{forged}\":{{\"tensor\":\"{input}\"}}}}}}\n"
        ),
    ];
    let is_forged = |line: &str| line.contains('\u{1b}') || line.contains('\u{85}') || line.starts_with("999");
    let text = |output: &Output| String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
    let folder = Folder::new("forged", lines.concat().as_bytes(), &tensors());
    let output = check(&folder.0, &["--device", "cpu"]);
    expect(&output, 1, "0 passed, 2 failed, 1 unsupported");
    expect(&output, 1, "failed a\\n999 passed, 0 failed, 0 unsupported\\u{1b}[2J\\u{85}: expected to be refused");
    expect(&output, 1, "failed c: d\\n999 passed");
    assert!(!text(&output).lines().any(is_forged), "{}", text(&output));

    // What cannot be read is told on standard error.
    let name = format!("{{\"d{forged}\":{{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}}}");
    let tensors = [&(name.len() as u64).to_le_bytes()[..], name.as_bytes(), &[0, 0]].concat();
    let folder = Folder::new("forged-tensor", lines[0].as_bytes(), &tensors);
    let output = check(&folder.0, &["--device", "cpu"]);
    expect(&output, 2, "d\\n999 passed");
    assert!(!text(&output).lines().any(is_forged), "{}", text(&output));
}

#[test]
fn an_id_stands_for_one_case() {
    let line = "{\"id\":\"a\",\"op\":\"sigmoid\",\"error\":true}\n";
    let folder = Folder::new("twice", format!("{line}\n{line}").as_bytes(), &tensors());
    expect(&check(&folder.0, &["--device", "cpu"]), 2, "line 3: line 1 has the same id, \"a\"");
}

/// As PyTorch takes them: a list of one for both, and for a pool's stride an empty list for none.
#[test]
fn pairs_are_pytorchs() {
    let case = |id: usize, op: &str, params: &str, extra: &str, expected: &str| {
        format!(
            "{{\"id\":\"{id}\",\"op\":\"{op}\",\"params\":{params},\"inputs\":{{\"input\":\"input\"{extra}}},{expected}}}\n"
        )
    };
    let gives = |tensor: &str| format!("\"outputs\":{{\"output\":{{\"tensor\":\"{tensor}\"}}}}");
    let refused = "\"error\":true".to_owned();
    let (weight, boxes) = (",\"weight\":\"weight\"", ",\"boxes\":\"boxes\"");
    let lines: Vec<_> = [
        // An image of 2 by 2 ones.
        ("max_pool2d", "{\"kernel_size\":[2]}", "", gives("one")),
        ("max_pool2d", "{\"kernel_size\":[1],\"stride\":[1],\"padding\":[0],\"dilation\":[1]}", "", gives("input")),
        ("max_pool2d", "{\"kernel_size\":1,\"stride\":[]}", "", gives("input")),
        ("avg_pool2d", "{\"kernel_size\":[1],\"stride\":[],\"padding\":[0]}", "", gives("input")),
        ("conv2d", "{\"stride\":[2],\"padding\":[0],\"dilation\":[1]}", weight, gives("one")),
        (
            "conv_transpose2d",
            "{\"stride\":[1],\"padding\":[0],\"output_padding\":[0],\"dilation\":[1]}",
            weight,
            gives("input"),
        ),
        ("max_pool2d", "{\"kernel_size\":[]}", "", refused.clone()),
        ("max_pool2d", "{\"kernel_size\":[1,1,1]}", "", refused.clone()),
        ("max_pool2d", "{\"kernel_size\":[[1]]}", "", refused.clone()),
        ("max_pool2d", "{\"kernel_size\":1,\"padding\":[]}", "", refused.clone()),
        ("conv2d", "{\"stride\":[]}", weight, refused.clone()),
        // torchvision takes the second of a list.
        ("roi_pool", "{\"output_size\":[1]}", boxes, refused.clone()),
        ("roi_pool", "{\"output_size\":[1,1]}", boxes, gives("one")),
    ]
    .into_iter()
    .enumerate()
    .map(|(id, (op, params, extra, expected))| case(id, op, params, extra, &expected))
    .collect();
    let header = "{\"input\":{\"dtype\":\"F32\",\"shape\":[1,1,2,2],\"data_offsets\":[0,16]},\
        \"one\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1],\"data_offsets\":[16,20]},\
        \"weight\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1],\"data_offsets\":[20,24]},\
        \"boxes\":{\"dtype\":\"F32\",\"shape\":[1,5],\"data_offsets\":[24,44]}}";
    let floats = [[1.0_f32; 6].as_slice(), &[0.0, 0.0, 0.0, 1.0, 1.0]].concat();
    let data: Vec<u8> = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
    let tensors = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    let folder = Folder::new("pairs", lines.concat().as_bytes(), &tensors);
    expect(&check(&folder.0, &["--device", "cpu"]), 0, "13 passed, 0 failed, 0 unsupported");
}
