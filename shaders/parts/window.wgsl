// A sliding window along one axis. A uniform begins with those of rows and columns, so that their 16 bytes are aligned.

struct Window {
    kernel: i32,
    stride: i32,
    padding: i32,           // before the first row or column
    dilation: i32,
}
