package vma

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// inOrder returns the disks that Ordered writes, and the spool's places.
func inOrder(t testing.TB, archive []byte, limit int64) (Header, map[string]*bytes.Buffer, int, error) {
	t.Helper()
	dir := t.TempDir()
	r, err := NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	spool := NewSpool(dir, limit)
	got := map[string]*bytes.Buffer{}
	err = r.Ordered(context.Background(), spool, func(d Device) (io.Writer, error) {
		got[d.Name] = &bytes.Buffer{}
		return got[d.Name], nil
	})
	if left, lerr := os.ReadDir(dir); lerr != nil || len(left) > 0 {
		t.Errorf("the spool can be seen as %v, %v", left, lerr)
	}
	if cerr := spool.Close(); cerr != nil {
		t.Error(cerr)
	}
	return r.Header(), got, len(spool.count), err
}

func odd() plan {
	return disks(device(1, "drive-scsi0", 70*clusterSize+12800), device(3, "drive-efidisk0", 540672), device(7, "drive-ide2", 512),
		device(9, "zeros", 3*clusterSize))
}

func TestDisksComeOutInOrder(t *testing.T) {
	backwards := odd()
	for i, j := 0, len(backwards.order)-1; i < j; i, j = i+1, j-1 {
		backwards.order[i], backwards.order[j] = backwards.order[j], backwards.order[i]
	}
	interleaved := odd()
	for i := range interleaved.order {
		j := i * 37 % len(interleaved.order)
		interleaved.order[i], interleaved.order[j] = interleaved.order[j], interleaved.order[i]
	}
	for name, p := range map[string]plan{"in order": odd(), "shuffled": odd().shuffled(), "backwards": backwards, "interleaved": interleaved} {
		t.Run(name, func(t *testing.T) {
			_, got, places, err := inOrder(t, p.build(t), 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range p.header.Devices {
				if !bytes.Equal(got[d.Name].Bytes(), content(d)) {
					t.Errorf("%s: got %d bytes, want %d equal ones", d.Name, got[d.Name].Len(), d.Size)
				}
			}
			if (places > 0) == (name == "in order") {
				t.Errorf("%d clusters were in the spool at once", places)
			}
		})
	}
}

// What Proxmox wrote comes out as Proxmox extracts it, and is whole when it was written again.
func TestSamplesAreDecodedAndEncodedAgain(t *testing.T) {
	for name, want := range samples {
		t.Run(name, func(t *testing.T) {
			h, got, _, err := inOrder(t, sample(t, name), 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			var again bytes.Buffer
			err = Encode(t.Context(), &again, h, func(d Device) (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(got[d.Name].Bytes())), nil
			})
			if err != nil {
				t.Fatal(err)
			}
			header, disks, err := extract(bytes.NewReader(again.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if header.UUID != h.UUID || !header.Created.Equal(h.Created) {
				t.Errorf("the header changed: %v, was %v", header, h)
			}
			for _, c := range header.Configs {
				disks[c.Name] = c.Data
			}
			for part, b := range disks {
				if digest(b) != want[part] {
					t.Errorf("got digest %s of %s, want %s", digest(b), part, want[part])
				}
			}
			if len(disks) != len(want) {
				t.Errorf("got %d parts, want %d", len(disks), len(want))
			}
		})
	}
}

func TestAMemoryStreamKeepsItsClusters(t *testing.T) {
	p := disks(device(1, "drive-scsi0", 3*clusterSize), device(2, vmstate, 2*clusterSize+100))
	_, got, _, err := inOrder(t, p.build(t), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	want := append(content(p.header.Devices[1]), make([]byte, clusterSize-100)...)
	if !bytes.Equal(got[vmstate].Bytes(), want) {
		t.Errorf("got %d bytes, want %d equal ones", got[vmstate].Len(), len(want))
	}
}

// The bound holds, places are used again, and a fault further on is still an error.
func TestTheSpoolIsBounded(t *testing.T) {
	archive := odd().shuffled().build(t)
	_, _, places, err := inOrder(t, archive, 1<<30)
	if err != nil || places > 60 {
		t.Errorf("%d places, %v: want that places are used again", places, err)
	}
	if _, _, _, err := inOrder(t, archive, int64(places)*clusterSize); err != nil {
		t.Errorf("as large as needed: %v", err)
	}
	if _, _, _, err := inOrder(t, archive, int64(places-1)*clusterSize); !errors.Is(err, ErrSpoolFull) {
		t.Errorf("too small: got %v, want ErrSpoolFull", err)
	}
	var fault *Error
	if _, _, _, err := inOrder(t, archive[:len(archive)-blockSize], 1<<30); !errors.As(err, &fault) {
		t.Errorf("cut: got %v, want a fault of the archive", err)
	}
	p := odd().shuffled()
	at := headerLen(archive)
	at += extentHeaderSize + (int(archive[at+extBlocks])<<8+int(archive[at+extBlocks+1]))*blockSize
	if _, _, _, err := inOrder(t, archive[:at], 1<<30); err == nil || !strings.Contains(err.Error(), "archive ends too early") {
		t.Errorf("cut after the first extent of %d clusters: got %v", len(p.order), err)
	}
}

func TestAWriterThatFailsEndsIt(t *testing.T) {
	broke := errors.New("broke")
	r, err := NewReader(bytes.NewReader(odd().build(t)))
	if err != nil {
		t.Fatal(err)
	}
	err = r.Ordered(t.Context(), NewSpool(t.TempDir(), 1<<20), func(d Device) (io.Writer, error) {
		return writerFunc(func(p []byte) (int, error) { return 0, broke }), nil
	})
	if !errors.Is(err, broke) || !strings.Contains(err.Error(), "drive-scsi0) at offset 0") {
		t.Errorf("got %v", err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestADiskOfAnotherSizeIsNotEncoded(t *testing.T) {
	h := disks(device(1, "a", clusterSize+1)).header
	for _, n := range []int{0, clusterSize, clusterSize + 2, 3 * clusterSize} {
		err := Encode(t.Context(), io.Discard, h, func(Device) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(make([]byte, n))), nil
		})
		if err == nil || !strings.Contains(err.Error(), "read device 1 (a)") {
			t.Errorf("%d bytes: got %v, want an error that names the device", n, err)
		}
	}
}

// FuzzOrdered demands that what comes out in order is what Extract writes, and that the
// two agree whether the archive is whole.
func FuzzOrdered(f *testing.F) {
	f.Add(disks(device(1, "a", 2*blockSize), device(2, "b", 5*clusterSize+1)).shuffled().build(f))
	f.Add(oneDisk(700).build(f))
	for _, name := range []string{"zero-disk", "tiny-512", "config-only"} {
		f.Add(sample(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		mend(b)
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		for _, d := range r.Header().Devices {
			if d.Size > 1<<24 || d.Name == vmstate {
				return // a disk of zeros as large as claimed takes its time
			}
		}
		_, want, werr := extract(bytes.NewReader(b))
		_, got, _, err := inOrder(t, b, 1<<30)
		if (err == nil) != (werr == nil) {
			t.Fatalf("in order: %v, extracted: %v", err, werr)
		}
		for name, disk := range want {
			if err == nil && !bytes.Equal(got[name].Bytes(), disk) {
				t.Fatalf("%s differs", name)
			}
		}
	})
}
