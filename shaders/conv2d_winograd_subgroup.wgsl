// parts: winograd, kernels|kernels_packed
// The multiply pass of conv2d by Winograd's algorithms (see conv2d_winograd2x2.wgsl), on adapters that run on a CPU: a
// product of matrices for each position p and each group g.
//     products[p,g,t,o] = sum over i of inputs[p,g,i,t] * kernels[p,g,i,o]          t a tile, o a channel
//
// One invocation computes TILES tiles by BLOCKS blocks of 4 channels in registers:
//
//                  channels 0..3   4..7
//     tiles 0..15  low_0           high_0      every input is used 4 * BLOCKS times, every kernel TILES times
//          16..31  low_16          high_16
//
// All invocations of a workgroup have the same tiles. A load takes as long as 20 broadcasts, so each invocation loads
// one of the blocks of inputs, and all read it from there.
//
// The products of 4 channels are summed separately, and so are the sums of 16, so that many channels do not add
// rounding. Summing 4 at once also saves three of four stores to sums, each of which costs a mask in a loop on these
// adapters.

override WORKGROUP_SIZE: u32 = 8u;
// 16, or 32 in subgroups of 8.
override TILES: i32 = 32;
// 1 or 2.
override BLOCKS: i32 = 2;

const CHUNK: i32 = 16;

// A block of channels of 16 tiles; a column is a tile.
struct Sums {
    tiles_0: mat4x4<f32>,
    tiles_4: mat4x4<f32>,
    tiles_8: mat4x4<f32>,
    tiles_12: mat4x4<f32>,
}

// 4 input channels of a block of channels or of tiles.
struct Four {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

fn load_four(at: i32) -> Four {
    return Four(load_kernels(at), load_kernels(at + 1), load_kernels(at + 2), load_kernels(at + 3));
}

fn products(tiles: vec4<f32>, channels: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(tiles.x * channels, tiles.y * channels, tiles.z * channels, tiles.w * channels);
}

fn products_of_four(inputs: Four, kernels: Four) -> mat4x4<f32> {
    return (products(inputs.a, kernels.a) + products(inputs.b, kernels.b))
        + (products(inputs.c, kernels.c) + products(inputs.d, kernels.d));
}

fn add_sums(totals: ptr<function, Sums>, sums: Sums) {
    (*totals).tiles_0 += sums.tiles_0;
    (*totals).tiles_4 += sums.tiles_4;
    (*totals).tiles_8 += sums.tiles_8;
    (*totals).tiles_12 += sums.tiles_12;
}

fn load_inputs(at: i32, step: i32) -> Four {
    return Four(workspace[at], workspace[at + step], workspace[at + 2 * step], workspace[at + 3 * step]);
}

fn write_tiles(at: i32, tiles: mat4x4<f32>) {
    workspace[at] = tiles[0];
    workspace[at + 1] = tiles[1];
    workspace[at + 2] = tiles[2];
    workspace[at + 3] = tiles[3];
}

fn write(at: i32, totals: Sums) {
    write_tiles(at, totals.tiles_0);
    write_tiles(at + 4, totals.tiles_4);
    write_tiles(at + 8, totals.tiles_8);
    write_tiles(at + 12, totals.tiles_12);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn multiply(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) subgroup_id: u32,
) {
    let blocks = channel_blocks();
    let rows = params.room / TILES;
    let workgroup_blocks = BLOCKS * i32(WORKGROUP_SIZE);
    let cols = (blocks + workgroup_blocks - 1) / workgroup_blocks;
    let number = i32(workgroup.y * grid.x + workgroup.x);
    // A problem is a group at a position.
    let problem = number / cols / rows;
    if (problem >= params.positions * params.groups) {
        return;
    }
    let first_tile = number / cols % rows * TILES;
    let block = number % cols * workgroup_blocks + BLOCKS * i32(lane);
    // Invocations past the last block compute that block again, and do not write it.
    let low_block = min(block, blocks - 1);
    let high_block = min(block + 1, blocks - 1);

    let position = problem / params.groups;
    let group = problem % params.groups;
    let channel_step = params.room / 4;
    let inputs = position * params.inputs_step + group * params.channel_room * channel_step + first_tile / 4
        + i32(subgroup_id) % (TILES / 4);
    let kernels = position * params.kernels_step + group * blocks * params.channel_room;
    let low_kernels = kernels + low_block * params.channel_room;
    let high_kernels = kernels + high_block * params.channel_room;
    var low_totals_0: Sums;
    var low_totals_16: Sums;
    var high_totals_0: Sums;
    var high_totals_16: Sums;
    for (var first = 0; first < params.channel_room; first += CHUNK) {
        var low_0: Sums;
        var low_16: Sums;
        var high_0: Sums;
        var high_16: Sums;
        for (var channel = first; channel < min(first + CHUNK, params.channel_room); channel += 4) {
            let own = load_inputs(inputs + channel * channel_step, channel_step);
            let low = load_four(low_kernels + channel);
            var high: Four;
            if (BLOCKS > 1) {
                high = load_four(high_kernels + channel);
            }
            let inputs_0 = Four(
                subgroupBroadcast(own.a, 0u),
                subgroupBroadcast(own.b, 0u),
                subgroupBroadcast(own.c, 0u),
                subgroupBroadcast(own.d, 0u),
            );
            low_0.tiles_0 += products_of_four(inputs_0, low);
            let inputs_1 = Four(
                subgroupBroadcast(own.a, 1u),
                subgroupBroadcast(own.b, 1u),
                subgroupBroadcast(own.c, 1u),
                subgroupBroadcast(own.d, 1u),
            );
            low_0.tiles_4 += products_of_four(inputs_1, low);
            let inputs_2 = Four(
                subgroupBroadcast(own.a, 2u),
                subgroupBroadcast(own.b, 2u),
                subgroupBroadcast(own.c, 2u),
                subgroupBroadcast(own.d, 2u),
            );
            low_0.tiles_8 += products_of_four(inputs_2, low);
            let inputs_3 = Four(
                subgroupBroadcast(own.a, 3u),
                subgroupBroadcast(own.b, 3u),
                subgroupBroadcast(own.c, 3u),
                subgroupBroadcast(own.d, 3u),
            );
            low_0.tiles_12 += products_of_four(inputs_3, low);
            if (BLOCKS > 1) {
                high_0.tiles_0 += products_of_four(inputs_0, high);
                high_0.tiles_4 += products_of_four(inputs_1, high);
                high_0.tiles_8 += products_of_four(inputs_2, high);
                high_0.tiles_12 += products_of_four(inputs_3, high);
            }
            if (TILES > 16) {
                let inputs_4 = Four(
                    subgroupBroadcast(own.a, 4u),
                    subgroupBroadcast(own.b, 4u),
                    subgroupBroadcast(own.c, 4u),
                    subgroupBroadcast(own.d, 4u),
                );
                low_16.tiles_0 += products_of_four(inputs_4, low);
                let inputs_5 = Four(
                    subgroupBroadcast(own.a, 5u),
                    subgroupBroadcast(own.b, 5u),
                    subgroupBroadcast(own.c, 5u),
                    subgroupBroadcast(own.d, 5u),
                );
                low_16.tiles_4 += products_of_four(inputs_5, low);
                let inputs_6 = Four(
                    subgroupBroadcast(own.a, 6u),
                    subgroupBroadcast(own.b, 6u),
                    subgroupBroadcast(own.c, 6u),
                    subgroupBroadcast(own.d, 6u),
                );
                low_16.tiles_8 += products_of_four(inputs_6, low);
                let inputs_7 = Four(
                    subgroupBroadcast(own.a, 7u),
                    subgroupBroadcast(own.b, 7u),
                    subgroupBroadcast(own.c, 7u),
                    subgroupBroadcast(own.d, 7u),
                );
                low_16.tiles_12 += products_of_four(inputs_7, low);
                if (BLOCKS > 1) {
                    high_16.tiles_0 += products_of_four(inputs_4, high);
                    high_16.tiles_4 += products_of_four(inputs_5, high);
                    high_16.tiles_8 += products_of_four(inputs_6, high);
                    high_16.tiles_12 += products_of_four(inputs_7, high);
                }
            }
        }
        add_sums(&low_totals_0, low_0);
        add_sums(&low_totals_16, low_16);
        add_sums(&high_totals_0, high_0);
        add_sums(&high_totals_16, high_16);
    }

    let at = params.products_begin + position * params.products_step + (group * blocks + block) * params.room + first_tile;
    if (block < blocks) {
        write(at, low_totals_0);
        if (TILES > 16) {
            write(at + 16, low_totals_16);
        }
    }
    if (BLOCKS > 1 && block + 1 < blocks) {
        write(at + params.room, high_totals_0);
        if (TILES > 16) {
            write(at + params.room + 16, high_totals_16);
        }
    }
}
