package archive

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
)

const (
	frameMagic     = 0xfd2fb528
	skippableMagic = 0x184d2a50 // and the 15 after it
	maxWindow      = 128 << 20
	maxBlock       = 128 << 10
	inputBuffer    = 256 << 10
)

// frames passes a zstd file on to the decoder and follows its structure (RFC
// 8878) from block to block: it refuses a frame without checksum, a cut one and
// anything that is not a frame, and knows where. It judges what it has read before
// the decoder sees it.
type frames struct {
	name string
	r    io.Reader
	buf  []byte
	out  []byte // a part of buf that the decoder has not yet
	err  error

	offset int64 // of the field at hand, or of the next byte to pass over
	skip   int64 // bytes to pass over
	field  [14]byte
	have   int // bytes of field that are there
	need   int // bytes that step wants
	step   func([]byte) error
	desc   byte // descriptor of the frame at hand
	count  int  // frames that hold data

	between bool // the next byte, if any, begins a frame
}

func newFrames(name string, r io.Reader) *frames {
	f := &frames{name: name, r: r, buf: make([]byte, inputBuffer)}
	f.nextFrame()
	return f
}

// Read fills the buffer when it is empty. The end of the file is passed on only
// where it may be.
func (f *frames) Read(p []byte) (int, error) {
	for len(f.out) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		n, err := f.r.Read(f.buf)
		f.out = f.buf[:n]
		if fault := f.follow(f.out); fault != nil {
			f.out, f.err = nil, fault
			continue
		}
		if err == io.EOF {
			err = f.end()
		}
		f.err = err
	}
	n := copy(p, f.out)
	f.out = f.out[n:]
	return n, nil
}

// finished reports whether the end of the file has been reached and was good.
func (f *frames) finished() bool { return len(f.out) == 0 && f.err == io.EOF }

func (f *frames) end() error {
	f.offset += int64(f.have)
	switch {
	case f.skip > 0 || f.have > 0 || !f.between:
		return f.faultf("the file ends within a zstd frame")
	case f.count == 0:
		return f.faultf("the file holds no zstd frame")
	}
	return io.EOF
}

func (f *frames) faultf(format string, args ...any) error {
	return &Error{Name: f.name, What: fmt.Sprintf("byte %d of the file: ", f.offset) + fmt.Sprintf(format, args...)}
}

func (f *frames) expect(n int, step func([]byte) error) { f.need, f.step, f.between = n, step, false }

func (f *frames) nextFrame() {
	f.expect(4, f.magic)
	f.between = true
}

func (f *frames) follow(b []byte) error {
	for len(b) > 0 {
		if f.skip > 0 {
			n := min(f.skip, int64(len(b)))
			f.skip -= n
			f.offset += n
			b = b[n:]
			continue
		}
		n := copy(f.field[f.have:f.need], b)
		f.have += n
		b = b[n:]
		if f.have < f.need {
			return nil
		}
		f.have = 0
		size := int64(f.need) // step changes it
		if err := f.step(f.field[:f.need]); err != nil {
			return err
		}
		f.offset += size
	}
	return nil
}

func (f *frames) magic(b []byte) error {
	switch m := binary.LittleEndian.Uint32(b); {
	case m == frameMagic:
		f.expect(1, f.descriptor)
	case m&^15 == skippableMagic:
		f.expect(4, f.skippable)
	default:
		return f.faultf("no zstd frame begins here (%x)", b)
	}
	return nil
}

func (f *frames) skippable(b []byte) error {
	f.skip = int64(binary.LittleEndian.Uint32(b))
	f.nextFrame()
	return nil
}

func (f *frames) descriptor(b []byte) error {
	f.desc = b[0]
	if f.desc&0x18 != 0 {
		return f.faultf("a reserved bit is set in the zstd frame (descriptor %02x)", f.desc)
	}
	if f.desc&4 == 0 {
		return f.faultf("the zstd frame has no checksum, so damage to it could not be seen")
	}
	window, dict, content := f.fields() // at least one byte
	f.expect(window+dict+content, f.frameHeader)
	return nil
}

// fields returns the lengths of what follows the descriptor.
func (f *frames) fields() (window, dict, content int) {
	single := f.desc&0x20 != 0
	if !single {
		window = 1
	}
	dict = [4]int{0, 1, 2, 4}[f.desc&3]
	content = [4]int{0, 2, 4, 8}[f.desc>>6]
	if single && content == 0 {
		content = 1
	}
	return window, dict, content
}

func (f *frames) frameHeader(b []byte) error {
	window, dict, content := f.fields()
	size := uint64(0)
	if window == 1 {
		base := uint64(1) << (10 + b[0]>>3)
		size = base + base/8*uint64(b[0]&7)
	}
	for _, v := range b[window : window+dict] {
		if v != 0 {
			return unsupportedf(f.name, "byte %d of the file: the zstd frame needs a dictionary", f.offset)
		}
	}
	if window == 0 { // the content is the window
		for i, v := range b[dict : dict+content] {
			size |= uint64(v) << (8 * i)
		}
	}
	if size > maxWindow {
		return unsupportedf(f.name, "byte %d of the file: the zstd frame needs a window of 2^%d bytes, and runner takes %d MiB: unpack it "+
			"with zstd -d --long=%[2]d, and open what comes out",
			f.offset, bits.Len64(size-1), maxWindow>>20)
	}
	f.count++
	f.expect(3, f.block)
	return nil
}

func (f *frames) block(b []byte) error {
	v := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
	size := int64(v >> 3)
	if size > maxBlock {
		return f.faultf("a zstd block has %d bytes, more than %d", size, maxBlock)
	}
	switch v >> 1 & 3 {
	case 1: // one byte, repeated
		size = 1
	case 3:
		return f.faultf("a zstd block is of the reserved type")
	}
	f.skip = size
	if v&1 != 0 { // the last one
		f.expect(4, f.checksum)
	}
	return nil
}

// checksum is left to the decoder.
func (f *frames) checksum([]byte) error {
	f.nextFrame()
	return nil
}
