//! Checkpoints: a safetensors file with the network's state_dict, as PyTorch names it, and beside it the optimiser's states
//! under names that begin with "optimizer.". PyTorch's `load_state_dict` takes all others.

use std::collections::HashMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use wgdnn::Tensor;

use super::net::Result;
use super::trainer::Trainer;

/// The entry of a file's metadata that tells of which training it is.
const TRAINING: &str = "training";

/// All tensors of a training, by name. The gradients are not among them: each step begins them anew.
fn tensors(trainer: &Trainer) -> Vec<(String, Tensor)> {
    let (net, memory) = (&trainer.net, &trainer.memory);
    let names = net.parameters.iter().map(|parameter| &parameter.name);
    let mut all: Vec<_> = names.clone().cloned().zip(memory.flat["param"].parts().to_vec()).collect();
    let statistics = net.statistics.iter().map(|statistic| statistic.name.clone());
    all.extend(statistics.zip(memory.statistics.iter().cloned()));
    for state in memory.optimizer.states() {
        let names = names.clone().map(|name| format!("optimizer.{state}.{name}"));
        all.extend(names.zip(memory.flat[state].parts().to_vec()));
    }
    all.push(("optimizer.step".into(), memory.numbers["step"].clone()));
    all
}

/// PyTorch's counters, one for each batch norm.
fn counters(trainer: &Trainer) -> impl Iterator<Item = String> {
    let names = trainer.net.statistics.iter().filter_map(|statistic| statistic.name.strip_suffix("running_mean"));
    names.map(|norm| format!("{norm}num_batches_tracked"))
}

/// Writes a checkpoint after so many steps. `about` tells the run from others, and is compared when it is read.
pub fn save(path: &Path, trainer: &Trainer, steps: usize, about: &str) -> Result<()> {
    let mut data = Vec::new();
    for (name, tensor) in tensors(trainer) {
        let bytes: Vec<u8> = tensor.read_vec_blocking()?.iter().flat_map(|x| x.to_le_bytes()).collect();
        data.push((name, Dtype::F32, tensor.shape().to_vec(), bytes));
    }
    data.extend(counters(trainer).map(|name| (name, Dtype::I64, vec![], (steps as i64).to_le_bytes().to_vec())));
    let views =
        data.iter().map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)));
    // One entry: several would be in any order, and the same training would not give the same bytes.
    let metadata =
        HashMap::from([(TRAINING.to_owned(), serde_json::json!({"about": about, "steps": steps}).to_string())]);
    let file = safetensors::serialize(views.collect::<Result<Vec<_>>>()?, Some(metadata))?;
    // In one piece: a run that is stopped meanwhile leaves the file before.
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, file)
        .and_then(|()| std::fs::rename(&unfinished, path))
        .map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Reads a checkpoint of the same training, and returns after how many steps it was made.
pub fn load(path: &Path, trainer: &Trainer, about: &str) -> Result<usize> {
    let explained = |error: Box<dyn std::error::Error>| format!("{}: {error}", path.display());
    let file = std::fs::read(path).map_err(|error| explained(error.into()))?;
    read(&file, trainer, about).map_err(|error| explained(error).into())
}

fn read(file: &[u8], trainer: &Trainer, about: &str) -> Result<usize> {
    let (_, metadata) = SafeTensors::read_metadata(file)?;
    let training = metadata.metadata().as_ref().and_then(|metadata| metadata.get(TRAINING)).ok_or("no checkpoint")?;
    let training: serde_json::Value = serde_json::from_str(training)?;
    match training["about"].as_str() {
        Some(other) if other == about => {}
        other => return Err(format!("a checkpoint of {:?}, expected {about:?}", other.unwrap_or_default()).into()),
    }
    let steps = training["steps"].as_u64().ok_or("it does not say how many steps")? as usize;
    let given = SafeTensors::deserialize(file)?;
    let expected = tensors(trainer);
    let known: Vec<_> = expected.iter().map(|(name, _)| name.clone()).chain(counters(trainer)).collect();
    if let Some(other) = given.names().into_iter().find(|name| !known.iter().any(|known| known == name)) {
        return Err(format!("{other} is no tensor of this network").into());
    }
    // All are looked at before one is written.
    let mut arrays = Vec::new();
    for (name, tensor) in &expected {
        let array = given.tensor(name).map_err(|_| format!("{name} is missing"))?;
        if (array.dtype(), array.shape()) != (Dtype::F32, tensor.shape()) {
            let (dtype, shape) = (array.dtype(), array.shape());
            return Err(format!("{name}: {dtype:?} of shape {shape:?}, expected F32 of {:?}", tensor.shape()).into());
        }
        let bytes = array.data().as_chunks().0;
        arrays.push(bytes.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect::<Vec<_>>());
    }
    for ((_, tensor), array) in expected.iter().zip(&arrays) {
        tensor.write(array)?;
    }
    Ok(steps)
}
