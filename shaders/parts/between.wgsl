// The positions of an image that interpolate reads. The file binds `params`, which has align_corners.

const NEAREST: u32 = 0u;
const NEAREST_EXACT: u32 = 1u;
const BILINEAR: u32 = 2u;

override MODE: u32 = 0u;

// Two positions of the input along an axis, and how much of each. Of the nearest one it is the first alone.
struct Between {
    first: u32,
    second: u32,
    first_share: f32,
    second_share: f32,
}

fn between(position: u32, scale: f32, length: u32, out_length: u32) -> Between {
    if (MODE != BILINEAR) {
        let center = f32(position) + select(0.0, 0.5, MODE == NEAREST_EXACT);
        let nearest = min(u32(floor(center * scale)), length - 1u);
        return Between(nearest, nearest, 1.0, 0.0);
    }
    if (length == out_length) {
        // As PyTorch has it, an infinity does not spoil its neighbours then.
        return Between(position, position, 1.0, 0.0);
    }
    let corner = f32(position) * scale;
    let center = max((f32(position) + 0.5) * scale - 0.5, 0.0);
    let source = select(center, corner, params.align_corners != 0u);
    let first = min(u32(floor(source)), length - 1u);
    let share = clamp(source - f32(first), 0.0, 1.0);
    return Between(first, min(first + 1u, length - 1u), 1.0 - share, share);
}
