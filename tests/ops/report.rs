//! The report's experiment: its golden data is the original's, and the program passes on it.

use wgdnn::cases::{CaseArray, read_arrays};

fn array(name: &str) -> ndarray::ArrayD<f32> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/report/tensors.safetensors");
    match &*read_arrays(&std::fs::read(path).unwrap()).unwrap()[name] {
        CaseArray::F32(array) => array.clone(),
        CaseArray::I64(_) => panic!("{name} has integers"),
    }
}

/// Holds an array's first elements against figures, to the digits that these are given with.
#[track_caller]
fn expect_begin(array: &ndarray::ArrayD<f32>, figures: &[(f64, i32)]) {
    expect_from(0, array, figures);
}

/// Holds elements from an index on against figures.
#[track_caller]
fn expect_from(begin: usize, array: &ndarray::ArrayD<f32>, figures: &[(f64, i32)]) {
    assert!(array.len() >= begin + figures.len());
    for (index, (got, (figure, digits))) in array.iter().skip(begin).zip(figures).enumerate() {
        let difference = (f64::from(*got) - figure).abs();
        assert!(difference <= 0.51 * 10_f64.powi(-digits), "element {index}: {got}, not {figure}");
    }
}

#[test]
fn golden_data_is_that_of_the_original_report() {
    for result in ["output", "output.float32"] {
        let output = |case: &str| array(&format!("report/{case}/{result}"));
        expect_begin(&output("max_pool2d"), &[(1.8568, 4), (1.4073, 4), (-0.2345, 4), (2.0140, 4)]);
        expect_begin(&output("avg_pool2d"), &[(0.7162, 4), (-0.2951, 4), (-0.6720, 4)]);
        let conv = output("conv2d_k3");
        expect_begin(&conv, &[(0.1587, 4), (0.1284, 4), (-1.0902, 4)]);
        expect_from(30, &conv, &[(0.7485, 4)]);
        let strided = output("conv2d_k5");
        assert_eq!(strided.shape(), [1, 6, 12, 12]);
        expect_begin(&strided, &[(-0.52005, 5), (-0.75458, 5), (-1.5381, 4)]);
        expect_begin(&output("conv_transpose2d"), &[(0.51801, 5), (0.029314, 6), (-0.31701, 5)]);
        expect_begin(&output("sigmoid"), &[(0.86491970, 7), (0.28835604, 7)]);
        let rows = [1.8568, 1.3422, 1.6153, 3.7132, 1.3881, 1.3881];
        for (row, figure) in rows.into_iter().enumerate() {
            expect_from(row * 6, &output("roi_pool"), &[(figure, 4)]);
        }
        expect_begin(&output("cross_entropy"), &[(1.3944, 4)]);
        expect_begin(&output("mse_loss"), &[(2.0464945, 6)]);
        assert_eq!(output("worked_example"), ndarray::array![[[[19.0, 25.0], [37.0, 43.0]]]].into_dyn());
    }
    let pixel = array("report/flatten/input.in");
    expect_begin(&pixel, &[(1.8567675, 7), (-0.90338176, 7), (-1.1297665, 7)]);
    let end = [(-0.15350541, 7), (1.4376446, 7), (1.0855362, 7)];
    expect_from(pixel.len() - 3, &pixel, &end);
}

#[cfg(feature = "cli")]
mod program {
    use std::process::{Command, Output};

    fn wgdnn(arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_wgdnn")).args(arguments).output().unwrap()
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// The report as JSON, all 13 rows passed.
    fn expect_passed(arguments: &[&str], device: &str) -> serde_json::Value {
        let output = wgdnn(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["device"]["kind"], device);
        assert_eq!((&report["passed"], &report["failed"]), (&13.into(), &0.into()));
        assert_eq!(report["rows"].as_array().unwrap().len(), 13);
        report
    }

    #[test]
    fn all_rows_pass_on_the_gpu_and_on_the_cpu() {
        let gpu = expect_passed(&[], "GPU");
        expect_passed(&["report", "--device", "gpu"], "GPU");
        let cpu = expect_passed(&["--device", "cpu"], "CPU");
        assert!(gpu["rows"][0]["rmse_reference"].is_number());
        assert!(cpu["rows"][0]["rmse_reference"].is_null());
        let zero = ["max_pool2d", "avg_pool2d", "flatten", "roi_pool", "cross_entropy"];
        for row in gpu["rows"].as_array().unwrap() {
            if zero.contains(&row["operator"].as_str().unwrap()) {
                assert_eq!(row["rmse_pytorch"], 0.0, "{row}");
            }
        }
    }

    #[test]
    fn without_an_adapter_the_first_line_says_so() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wgdnn"));
        // No Vulkan driver and no OpenGL one.
        command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent");
        command.env("__EGL_VENDOR_LIBRARY_FILENAMES", "/nonexistent").env("LIBGL_DRIVERS_PATH", "/nonexistent");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let stdout = text(&output.stdout);
        assert!(stdout.lines().next().unwrap().starts_with("Run on the CPU: no GPU adapter found"), "{stdout}");
        assert!(stdout.contains("13 passed, 0 failed"));
    }

    #[test]
    fn the_table_lines_up_and_has_no_colours_in_a_pipe() {
        let stdout = text(&wgdnn(&["--values"]).stdout);
        assert!(!stdout.contains('\u{1b}'));
        let rows: Vec<&str> = stdout.lines().filter(|line| line.trim_end().ends_with("pass")).collect();
        assert_eq!(rows.len(), 13);
        assert!(rows.iter().all(|row| row.find("pass") == rows[0].find("pass")));
        assert!(stdout.contains("tensor([[[[ 1.8568,  1.4073, -0.2345,  ...,"), "{stdout}");
    }

    #[test]
    fn what_cannot_be_done_is_status_2() {
        for arguments in [
            &["--adapter", "no such adapter"][..],
            &["--device", "cpu", "--adapter", "x"],
            &["--device", "tpu"],
            &["nonsense"],
        ] {
            let output = wgdnn(arguments);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}");
            assert!(output.stdout.is_empty() && !output.stderr.is_empty());
        }
    }

    #[test]
    fn adapters_are_listed() {
        let stdout = text(&wgdnn(&["adapters"]).stdout);
        assert!(stdout.contains(&crate::harness::gpu().adapter_info().name), "{stdout}");
    }
}
