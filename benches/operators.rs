//! The operators on the workloads of workloads.json, or of the file that WGDNN_WORKLOADS names.
//!
//! `cargo bench --features cli --bench operators -- sigmoid`. A sample makes several calls and waits once, for all of
//! them.

use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use wgdnn::cases::{Call, workload::Workload};
use wgdnn::{Gpu, wgpu};

fn operators(criterion: &mut Criterion) {
    let gpu = Gpu::new_blocking().unwrap_or_else(|error| panic!("{error}"));
    let file = std::env::var("WGDNN_WORKLOADS").unwrap_or_else(|_| "benches/workloads.json".to_owned());
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let workloads: Vec<Workload> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    for workload in workloads.into_iter().filter(|workload| workload.planned().is_ok()) {
        let id = workload.id.clone();
        // Only the inputs of workloads that run are made.
        let mut ready = None;
        criterion.bench_function(&id, |bencher| {
            let ready = ready.get_or_insert_with(|| {
                let calls = workload.calls().unwrap_or_else(|refusal| panic!("{id}: {refusal}"));
                let bind = |call: &Call| call.operator().bind_by_name(call.upload(&gpu)?);
                let bound = calls.iter().map(bind).collect::<Result<Vec<_>, _>>();
                bound.unwrap_or_else(|error| panic!("{id}: {error}"))
            });
            bencher.iter_custom(|calls| {
                let start = Instant::now();
                for _ in 0..calls {
                    ready.iter().for_each(|call| drop(call().unwrap_or_else(|error| panic!("{id}: {error}"))));
                }
                gpu.submit().unwrap_or_else(|error| panic!("{id}: {error}"));
                gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap_or_else(|error| panic!("{id}: {error}"));
                start.elapsed()
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = operators
}
criterion_main!(benches);
