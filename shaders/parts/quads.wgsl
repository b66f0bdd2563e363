// The constants that pools by quads are specialised by. A quad is 4 output elements next to each other, which one
// invocation computes. For each input row in their windows it loads the blocks that hold the elements, once:
//
//     kernel 3, stride 2, padding 1      block 0     block 1     block 2
//                                        . . . a     a a b b     b c c d ..
//                                      LEFT = 3
//
// Loops have constant bounds, so that compilers unroll them.

override KERNEL_ROWS: i32 = 3;
override KERNEL_COLS: i32 = 3;
override STRIDE_COLS: i32 = 2;
// The columns of the first block before the first window.
override LEFT: i32 = 3;
// At most 8.
override BLOCKS: i32 = 3;
