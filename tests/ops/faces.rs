//! The detector of examples/faces.rs, against what facenet-pytorch finds.

#![allow(dead_code)]

#[path = "../../examples/faces/boxes.rs"]
mod boxes;
#[path = "../../examples/faces/detector.rs"]
mod detector;
#[path = "../../examples/faces/nets.rs"]
mod nets;
#[path = "../../examples/faces/picture.rs"]
mod picture;

use std::path::{Path, PathBuf};

// Where the detector looks for them.
use crate::networks::{layers, network, pnet, state};
use boxes::{Candidate, Overlap, suppressed};
use detector::Detector;
use picture::Picture;
use wgdnn::Gpu;

fn candidate(corners: [f32; 4], probability: f32) -> Candidate {
    Candidate { corners, probability }
}

#[test]
fn likelier_boxes_suppress_those_that_they_overlap() {
    let boxes = [
        candidate([0.0, 0.0, 10.0, 10.0], 0.8),
        candidate([1.0, 0.0, 11.0, 10.0], 0.9),
        candidate([20.0, 0.0, 30.0, 10.0], 0.7),
        candidate([22.0, 2.0, 26.0, 6.0], 0.6),
    ];
    // 90 of 110 pixels are in both of the first.
    assert_eq!(suppressed(&boxes, 0.8, Overlap::Union), [1, 2, 3]);
    assert_eq!(suppressed(&boxes, 0.82, Overlap::Union), [1, 0, 2, 3]);
    // A box within another overlaps it little, but all of it is in both.
    assert_eq!(suppressed(&boxes, 0.7, Overlap::Smaller), [1, 2]);
    assert!(suppressed(&[], 0.5, Overlap::Union).is_empty());
    // Equally likely boxes: torchvision's suppression takes the first, facenet-pytorch's own the last.
    let equal = [boxes[2], candidate([20.5, 0.0, 30.0, 10.0], 0.7)];
    assert_eq!(suppressed(&equal, 0.5, Overlap::Union), [0]);
    assert_eq!(suppressed(&equal, 0.5, Overlap::Smaller), [1]);
}

#[test]
fn boxes_are_corrected_made_square_and_cut_to_the_picture() {
    let of = candidate([10.0, 20.0, 30.0, 60.0], 0.5);
    assert_eq!(of.corrected(&[0.5, -0.25, 0.0, 1.0], 0.0).corners, [20.0, 10.0, 30.0, 100.0]);
    assert_eq!(of.corrected(&[1.0, 1.0, 0.0, 0.0], 1.0).corners, [31.0, 61.0, 30.0, 60.0]);
    assert_eq!(of.squared().corners, [0.0, 20.0, 40.0, 60.0]);
    assert_eq!(of.area(), 800.0);
    // From the pixel before the first corner up to the last.
    assert_eq!(of.pixels([100, 100]), [9..30, 19..60]);
    assert_eq!(candidate([-5.9, 0.5, 7.9, 200.0], 0.5).pixels([100, 50]), [0..7, 0..50]);
    let outside = candidate([120.0, 0.0, 140.0, 20.0], 0.5);
    assert!(!outside.is_inside([100, 100]) && of.is_inside([100, 100]));
    for x in [f32::NAN, f32::INFINITY, -f32::INFINITY, 1e30] {
        assert!(!candidate([x; 4], 0.5).is_inside([100, 100]));
    }
}

/// Writes a file, and reads it as a picture.
fn read_bytes(name: &str, bytes: &[u8]) -> Result<Picture, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faces");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    Picture::read(&path).map_err(|error| error.to_string())
}

fn png_of(color: png::ColorType, depth: png::BitDepth, [cols, rows]: [u32; 2], data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, cols, rows);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == png::ColorType::Indexed {
        encoder.set_palette(vec![9, 8, 7, 1, 2, 3]);
    }
    // Without data it is a header.
    let written = encoder.write_header().unwrap().write_image_data(data);
    assert_eq!(written.is_ok(), !data.is_empty());
    bytes
}

#[test]
fn pictures_of_every_kind_are_read() {
    use png::{BitDepth, ColorType};

    let rgb = [1, 2, 3, 4, 5, 6];
    for (color, depth, data, expected) in [
        (ColorType::Rgb, BitDepth::Eight, &rgb[..], rgb),
        (ColorType::Rgb, BitDepth::Sixteen, &[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0], rgb),
        (ColorType::Rgba, BitDepth::Eight, &[1, 2, 3, 0, 4, 5, 6, 255], rgb),
        (ColorType::Grayscale, BitDepth::Eight, &[7, 9], [7, 7, 7, 9, 9, 9]),
        (ColorType::Grayscale, BitDepth::One, &[0b0100_0000], [0, 0, 0, 255, 255, 255]),
        (ColorType::GrayscaleAlpha, BitDepth::Eight, &[7, 0, 9, 0], [7, 7, 7, 9, 9, 9]),
        (ColorType::Indexed, BitDepth::Eight, &[1, 0], [1, 2, 3, 9, 8, 7]),
    ] {
        let picture = read_bytes("kind.png", &png_of(color, depth, [2, 1], data)).unwrap();
        assert_eq!(picture, Picture { cols: 2, rows: 1, bytes: expected.to_vec() }, "{color:?} {depth:?}");
    }
    let bytes = png_of(ColorType::Rgb, BitDepth::Eight, [2, 1], &rgb);
    for wrong in [&b""[..], b"no picture", &bytes[..20], &bytes[..bytes.len() - 20]] {
        assert!(read_bytes("wrong.png", wrong).is_err());
    }
    // A header that asks for more than there is memory, and where the data begins.
    let header = png_of(ColorType::Rgb, BitDepth::Eight, [1 << 20, 1 << 20], &[]);
    let huge = [&header[..33], b"\0\0\0\x04IDAT\0\0\0\0"].concat();
    assert!(read_bytes("huge.png", &huge).unwrap_err().contains("too large"));
}

#[test]
fn rectangles_are_cut_at_the_edges() {
    let mut picture = Picture { cols: 4, rows: 3, bytes: vec![0; 36] };
    picture.fill([-5, 1, 2, 100], [1, 1, 1]);
    assert_eq!(picture.bytes.iter().filter(|&&byte| byte == 1).count(), 3 * 4);
    picture.frame([-100, -100, 100, 100], 1, [2, 2, 2]);
    assert!(!picture.bytes.contains(&2));
    picture.frame([0, 0, 4, 3], 1, [3, 3, 3]);
    assert_eq!(picture.bytes.iter().filter(|&&byte| byte == 3).count(), 3 * 10);
}

/// Where .ci/run puts the weights that examples/faces/export.py writes, and scikit-image's pictures.
fn folder() -> PathBuf {
    std::env::var_os("WGDNN_FACES").expect("WGDNN_FACES names a folder with weights and pictures").into()
}

#[derive(serde::Deserialize)]
struct GoldenFace {
    #[serde(rename = "box")]
    corners: [f32; 4],
    probability: f32,
    points: [[f32; 2]; 5],
}

/// The picture beside its mirror image.
fn mirrored(picture: &Picture) -> Picture {
    let row = |row: &[u8]| {
        let mirrored = row.chunks_exact(3).rev().flatten().copied();
        row.iter().copied().chain(mirrored).collect::<Vec<u8>>()
    };
    let bytes = picture.bytes.chunks_exact(3 * picture.cols).flat_map(row).collect();
    Picture { cols: 2 * picture.cols, rows: picture.rows, bytes }
}

/// On the GPU and on the CPU.
#[test]
#[ignore = "it takes trained weights and photos, which .ci/run fetches"]
fn faces_are_those_that_facenet_pytorch_finds() {
    let golden = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/faces.json")).unwrap();
    let golden: std::collections::BTreeMap<String, Vec<GoldenFace>> = serde_json::from_str(&golden).unwrap();
    assert_eq!(golden.values().map(Vec::len).collect::<Vec<_>>(), [1, 0, 0, 2]);
    let gpu = Gpu::new_blocking().unwrap();
    for (name, expected) in &golden {
        let read = |name: &str| Picture::read(&folder().join(format!("{name}.png"))).unwrap();
        let picture = if name == "mirrored" { mirrored(&read("astronaut")) } else { read(name) };
        for gpu in [Some(gpu.clone()), None] {
            let how = format!("{name}, {}", if gpu.is_some() { "GPU" } else { "CPU" });
            let detector = Detector::new(gpu, &folder(), [picture.cols, picture.rows], 20.0).unwrap();
            // Twice, since memory is used again.
            for _ in 0..2 {
                let faces = detector.detect(&picture).unwrap();
                assert_eq!(faces.len(), expected.len(), "{how}");
                for (face, expected) in faces.iter().zip(expected) {
                    let off = |x: f32, y: f32, most: f32| assert!((x - y).abs() <= most, "{how}: {x}, expected {y}");
                    off(face.candidate.probability, expected.probability, 1e-5);
                    for (x, y) in face.candidate.corners.iter().zip(&expected.corners) {
                        off(*x, *y, 0.01);
                    }
                    for (x, y) in face.points.iter().flatten().zip(expected.points.iter().flatten()) {
                        off(*x, *y, 0.01);
                    }
                }
            }
            assert!(detector.detect(&Picture { cols: 1, rows: 1, bytes: vec![0; 3] }).is_err());
        }
    }
    // No window fits into these.
    for size in [[1, 1], [11, 200], [200, 11], [19, 500]] {
        let picture = Picture { cols: size[0], rows: size[1], bytes: vec![0; 3 * size[0] * size[1]] };
        let detector = Detector::new(Some(gpu.clone()), &folder(), size, 20.0).unwrap();
        assert_eq!(detector.detect(&picture).unwrap(), []);
    }
}

#[test]
fn weights_that_are_not_there_are_named() {
    let error = Detector::new(None, Path::new("no such folder"), [64, 64], 20.0).err().unwrap().to_string();
    assert!(error.contains("pnet.safetensors"), "{error}");
}
