package vma

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

// FuzzReader mends the MD5 sums of what it is given, so that the bounds behind
// them are reached, and demands that nothing is delivered outside a device.
func FuzzReader(f *testing.F) {
	f.Add(disks(device(1, "a", 2*blockSize), device(2, vmstate, 1)).build(f))
	f.Add(oneDisk(700).build(f))
	f.Add(disks().build(f))
	for _, name := range []string{"zero-disk", "tiny-512", "config-only"} {
		f.Add(sample(f, name)) // the small ones: the fuzzer crawls on large inputs
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		mend(b)
		r, err := NewReader(bytes.NewReader(b))
		var fault *Error
		if err != nil {
			if !errors.As(err, &fault) {
				t.Fatalf("got %v, want a fault of the archive", err)
			}
			return
		}
		err = r.Walk(context.Background(), func(d Device, offset int64, data []byte) error {
			if len(data) == 0 || offset < 0 || d.Name != vmstate && offset+int64(len(data)) > d.Size {
				t.Fatalf("got %d bytes at %d of device %v", len(data), offset, d)
			}
			return nil
		})
		if err != nil && !errors.As(err, &fault) {
			t.Fatalf("got %v, want a fault of the archive", err)
		}
	})
}

// mend sets every sum that can be found.
func mend(b []byte) {
	if len(b) < headerSize {
		return
	}
	size := int64(headerLen(b))
	if size < headerSize || size > int64(len(b)) {
		return
	}
	fixSum(b[:size], hdrMD5)
	for b = b[size:]; len(b) >= extentHeaderSize; {
		fixSum(b[:extentHeaderSize], extMD5)
		next := extentHeaderSize + (int(b[extBlocks])<<8+int(b[extBlocks+1]))*blockSize
		b = b[min(next, len(b)):]
	}
}

func BenchmarkVerify(b *testing.B) {
	archive := oneDisk(512 * clusterSize).build(b)
	b.SetBytes(int64(len(archive)))
	b.ReportAllocs()
	for b.Loop() {
		if err := verify(archive); err != nil {
			b.Fatal(err)
		}
	}
}
