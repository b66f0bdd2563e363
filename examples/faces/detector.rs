//! MTCNN: a first network looks for faces of 12 by 12 pixels everywhere in a pyramid of images, two more look at what it
//! found, at 24 by 24 and at 48 by 48 pixels. As facenet-pytorch's `MTCNN(keep_all=True).detect(..)`.

use std::path::Path;

use wgdnn::ndarray::{Array4, ArrayD, Axis, concatenate, s};
use wgdnn::{Gpu, Interpolate, InterpolateMode, InterpolateParams, Tensor, reference};

use super::boxes::{Candidate, Overlap, suppressed};
use super::network::{Network, Value};
use super::picture::Picture;
use super::state::{Result, State};
use super::{nets, pnet};

/// The sides of the windows of the three networks.
const SIDES: [usize; 3] = [12, 24, 48];
/// How likely a face must be for each of them.
const THRESHOLDS: [f32; 3] = [0.6, 0.7, 0.7];
/// Between an image of the pyramid and the next smaller.
const FACTOR: f64 = 0.709;
/// How many windows the second and the third look at at once.
const WINDOWS: [usize; 2] = [32, 8];

/// A face: its box, and the eyes, the nose and the corners of the mouth, each as column and row.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    pub candidate: Candidate,
    pub points: [[f32; 2]; 5],
}

/// Finds faces in pictures of one size.
pub struct Detector {
    gpu: Option<Gpu>,
    size: [usize; 2],
    /// The first network for each image of the pyramid, and how large that image is beside the picture.
    pyramid: Vec<(f64, Network)>,
    /// The second and the third.
    refining: [Network; 2],
}

impl Detector {
    /// Plans all networks for pictures of so many columns and rows. `weights` is a folder with pnet.safetensors,
    /// rnet.safetensors and onet.safetensors.
    pub fn new(gpu: Option<Gpu>, weights: &Path, size: [usize; 2], min_face_size: f64) -> Result<Self> {
        let read = |name: &str| {
            let path = weights.join(name);
            State::read(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let [of_pnet, of_rnet, of_onet] = ["pnet", "rnet", "onet"].map(|net| read(&format!("{net}.safetensors")));
        if min_face_size.is_nan() || min_face_size < SIDES[0] as f64 {
            return Err(format!("the smallest face has {min_face_size} pixels, expected at least {}", SIDES[0]).into());
        }
        let plan = |name: &str, state, shape: &[usize], write: &dyn Fn(&mut Network, Value) -> Result<Value>| {
            let planned = Network::new(gpu.as_ref(), state, shape, write);
            planned.map_err(|error| format!("{name}.safetensors: {error}"))
        };
        let [cols, rows] = size;
        let (mut pyramid, mut scale, of_pnet) = (Vec::new(), SIDES[0] as f64 / min_face_size, of_pnet?);
        while cols.min(rows) as f64 * scale >= SIDES[0] as f64 {
            let to = [rows, cols].map(|length| (length as f64 * scale + 1.0) as usize);
            let write = |net: &mut Network, picture: Value| {
                let params = InterpolateParams::to_size(to, InterpolateMode::Area);
                let image = net.add(Interpolate::new(&net.shapes[picture], &params)?, &[("input", picture)])?;
                pnet::pnet(net, image)
            };
            pyramid.push((scale, plan("pnet", of_pnet.clone(), &[1, 3, rows, cols], &write)?));
            scale *= FACTOR;
        }
        let shape = |at: usize| [WINDOWS[at], 3, SIDES[at + 1], SIDES[at + 1]];
        let rnet = plan("rnet", of_rnet?, &shape(0), &nets::rnet)?;
        let onet = plan("onet", of_onet?, &shape(1), &nets::onet)?;
        Ok(Detector { gpu, size, pyramid, refining: [rnet, onet] })
    }

    /// The faces in a picture, the largest first.
    pub fn detect(&self, picture: &Picture) -> Result<Vec<Face>> {
        if [picture.cols, picture.rows] != self.size {
            return Err(
                format!("it has {} by {} pixels, as planned is {:?}", picture.cols, picture.rows, self.size).into()
            );
        }
        let image = picture.normalized();
        let found = self.candidates(&image)?;
        let found: Vec<_> = found.into_iter().filter(|of| of.is_inside(self.size)).collect();

        let rows = self.refined(0, &image, &found)?;
        let (mut likely, mut by) = (Vec::new(), Vec::new());
        for (of, row) in found.iter().zip(rows.outer_iter()).filter(|(_, row)| row[1] > THRESHOLDS[1]) {
            likely.push(Candidate { probability: row[1], ..*of });
            by.push([row[2], row[3], row[4], row[5]]);
        }
        let kept = suppressed(&likely, 0.7, Overlap::Union).into_iter();
        let found: Vec<_> = kept.map(|at| likely[at].corrected(&by[at], 1.0).squared()).collect();
        let found: Vec<_> = found.into_iter().filter(|of| of.is_inside(self.size)).collect();

        let rows = self.refined(1, &image, &found)?;
        let (mut likely, mut points) = (Vec::new(), Vec::new());
        for (of, row) in found.iter().zip(rows.outer_iter()).filter(|(_, row)| row[1] > THRESHOLDS[2]) {
            let [left, top, right, bottom] = of.corners;
            let point = |at: usize| {
                [(right - left + 1.0) * row[6 + at] + left - 1.0, (bottom - top + 1.0) * row[11 + at] + top - 1.0]
            };
            points.push([0, 1, 2, 3, 4].map(point));
            likely.push(Candidate { probability: row[1], ..*of }.corrected(&[row[2], row[3], row[4], row[5]], 1.0));
        }
        let kept = suppressed(&likely, 0.7, Overlap::Smaller).into_iter();
        let mut faces: Vec<_> = kept.map(|at| Face { candidate: likely[at], points: points[at] }).collect();
        faces.sort_by(|a, b| b.candidate.area().total_cmp(&a.candidate.area()));
        Ok(faces)
    }

    /// What the first network finds, corrected and made square.
    fn candidates(&self, image: &Array4<f32>) -> Result<Vec<Candidate>> {
        // All of it is queued before any is read.
        let outputs: Vec<ArrayD<f32>> = match &self.gpu {
            Some(gpu) => {
                let image = Tensor::from_array(gpu, image)?;
                let outputs = self.pyramid.iter().map(|(_, net)| net.on_gpu(image.clone()));
                let outputs = outputs.collect::<Result<Vec<_>>>()?;
                outputs.iter().map(Tensor::read_blocking).collect::<wgdnn::Result<_>>()?
            }
            None => self.pyramid.iter().map(|(_, net)| net.on_cpu(image.clone().into_dyn())).collect::<Result<_>>()?,
        };
        let (mut found, mut by) = (Vec::new(), Vec::new());
        for ((scale, _), output) in self.pyramid.iter().zip(&outputs) {
            let (mut of_scale, mut by_scale) = (Vec::new(), Vec::new());
            for ((row, col), &probability) in output.slice(s![0, 1, .., ..]).indexed_iter() {
                if probability >= THRESHOLDS[0] {
                    // A window begins at every second pixel.
                    let place = |at: usize, more: usize| ((2 * at + more) as f32 / *scale as f32).floor();
                    let corners = [place(col, 1), place(row, 1), place(col, SIDES[0]), place(row, SIDES[0])];
                    of_scale.push(Candidate { corners, probability });
                    by_scale.push([2, 3, 4, 5].map(|at| output[[0, at, row, col]]));
                }
            }
            for at in suppressed(&of_scale, 0.5, Overlap::Union) {
                found.push(of_scale[at]);
                by.push(by_scale[at]);
            }
        }
        let kept = suppressed(&found, 0.7, Overlap::Union).into_iter();
        Ok(kept.map(|at| found[at].corrected(&by[at], 0.0).squared()).collect())
    }

    /// What the second or the third network says of each candidate.
    fn refined(&self, which: usize, image: &Array4<f32>, candidates: &[Candidate]) -> Result<ArrayD<f32>> {
        let (net, side) = (&self.refining[which], SIDES[which + 1]);
        let params = InterpolateParams::to_size([side, side], InterpolateMode::Area);
        let mut rows = Vec::new();
        for some in candidates.chunks(WINDOWS[which]) {
            let mut windows = Array4::<f32>::zeros((WINDOWS[which], 3, side, side));
            for (index, of) in some.iter().enumerate() {
                let [cols, rows] = of.pixels(self.size);
                let window = reference::interpolate(&image.slice(s![.., .., rows, cols]), &params)?;
                windows
                    .slice_mut(s![index..=index, .., .., ..])
                    .assign(&window.into_dimensionality::<wgdnn::ndarray::Ix4>()?);
            }
            let output = match &self.gpu {
                Some(gpu) => net.on_gpu(Tensor::from_array(gpu, &windows)?)?.read_blocking()?,
                None => net.on_cpu(windows.into_dyn())?,
            };
            rows.push(output.slice_axis(Axis(0), (0..some.len()).into()).to_owned());
        }
        let width = net.shapes[net.output][1];
        rows.insert(0, ArrayD::zeros(vec![0, width]));
        Ok(concatenate(Axis(0), &rows.iter().map(|rows| rows.view()).collect::<Vec<_>>())?)
    }
}
