package vma

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// plan says which archive to build: header, the clusters in their order, and
// how many go into one extent.
type plan struct {
	header Header
	order  [][2]int // device, cluster
	limit  int
}

func device(id int, name string, size int64) Device { return Device{ID: id, Name: name, Size: size} }

func oneDisk(size int64) plan { return disks(device(1, "drive-scsi0", size)) }

func disks(devices ...Device) plan {
	p := plan{header: Header{UUID: [16]byte{1, 2, 3, 4, 5}, Created: time.Unix(1795000000, 0).UTC(), Devices: devices}}
	p.header.Configs = []Config{{Name: "qemu-server.conf", Data: []byte("cores: 2\n")}}
	for _, d := range devices {
		for c := range int(d.clusters()) {
			p.order = append(p.order, [2]int{d.ID, c})
		}
	}
	return p
}

func (p plan) shuffled() plan {
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(p.order), func(i, j int) { p.order[i], p.order[j] = p.order[j], p.order[i] })
	return p
}

// content is the disk that goes into the archive: random blocks, holes of one
// block and of whole clusters.
func content(d Device) []byte {
	b := make([]byte, d.Size)
	rnd := rand.NewChaCha8([32]byte{byte(d.ID)})
	for at := 0; at < len(b); at += blockSize {
		block := at / blockSize
		if block%5 == 3 || block/clusterBlocks%7 == 2 {
			continue
		}
		_, _ = rnd.Read(b[at:min(at+blockSize, len(b))])
	}
	return b
}

func (p plan) build(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, p.header)
	if err != nil {
		t.Fatal(err)
	}
	if p.limit != 0 {
		w.limit = p.limit
	}
	disk := map[int][]byte{}
	for _, d := range p.header.Devices {
		disk[d.ID] = content(d)
	}
	for _, o := range p.order {
		b := disk[o[0]]
		at := o[1] * clusterSize
		data := b[at:min(at+clusterSize, len(b))]
		if w.byID[o[0]].stream {
			data = append(bytes.Clone(data), make([]byte, clusterSize-len(data))...)
		}
		if err := w.WriteCluster(o[0], uint32(o[1]), data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// memory is a target of Extract that refuses writes past its end.
type memory []byte

func (m memory) WriteAt(b []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(b)) > int64(len(m)) {
		return 0, fmt.Errorf("write %d bytes at %d of %d", len(b), at, len(m))
	}
	return copy(m[at:], b), nil
}

// extract returns all disks by name.
func extract(archive io.Reader) (Header, map[string][]byte, error) {
	r, err := NewReader(archive)
	if err != nil {
		return Header{}, nil, err
	}
	got := map[string][]byte{}
	err = r.Extract(context.Background(), func(d Device) (io.WriterAt, error) {
		got[d.Name] = make([]byte, d.Size)
		return memory(got[d.Name]), nil
	})
	return r.Header(), got, err
}

func verify(archive []byte) error {
	r, err := NewReader(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	return r.Walk(context.Background(), nil)
}

func TestArchivesComeBackAsTheyWere(t *testing.T) {
	full := []Config{}
	for i := range maxConfigs {
		full = append(full, Config{Name: fmt.Sprintf("c%d.conf", i), Data: []byte{byte(i)}})
	}
	many := []Device{}
	for id := 1; id <= maxDeviceID; id++ {
		many = append(many, device(id, fmt.Sprintf("drive-%d", id), int64(id)*300))
	}
	with := func(p plan, configs ...Config) plan { p.header.Configs = configs; return p }
	foreign := oneDisk(59 * 2 * clusterSize)
	foreign.limit = extentClusters
	for name, p := range map[string]plan{
		"an efi disk of 8.25 clusters":                  oneDisk(540672),
		"one sector":                                    oneDisk(512),
		"a size that is not a multiple of a sector":     oneDisk(1000),
		"an extent filled to its last entry":            oneDisk(58 * clusterSize),
		"one block more than an extent":                 oneDisk(58*clusterSize + blockSize),
		"59 clusters in an extent, by a foreign writer": foreign,
		"two disks out of order and mixed":              disks(device(1, "a", 12595712), device(2, "b", 540672)).shuffled(),
		"gaps in the device ids":                        disks(device(3, "a", 70000), device(9, "b", 5)),
		"no disk":                                       disks(),
		"an empty config and one of 65535 bytes":        with(oneDisk(1), Config{"e", []byte{}}, Config{"f", bytes.Repeat([]byte{7}, maxBlob)}),
		"256 configs":                                   with(oneDisk(1), full...),
		"254 devices":                                   disks(many...).shuffled(),
	} {
		t.Run(name, func(t *testing.T) {
			header, got, err := extract(bytes.NewReader(p.build(t)))
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(header) != fmt.Sprint(p.header) {
				t.Errorf("got header %v, want %v", header, p.header)
			}
			for _, d := range p.header.Devices {
				if !bytes.Equal(got[d.Name], content(d)) {
					t.Errorf("disk %s differs", d.Name)
				}
			}
		})
	}
}

func TestZeroDiskIsNotWritten(t *testing.T) {
	p := oneDisk(4 << 20)
	var out bytes.Buffer
	w, err := NewWriter(&out, p.header)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range p.order {
		var data []byte
		if o[1]%2 == 0 {
			data = make([]byte, clusterSize)
		}
		if err := w.WriteCluster(o[0], uint32(o[1]), data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	err = r.Walk(context.Background(), func(_ Device, offset int64, data []byte) error {
		t.Errorf("got %d bytes at %d, want none", len(data), offset)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAdjacentBlocksComeInOneCall(t *testing.T) {
	p := oneDisk(3*clusterSize + 100)
	var out bytes.Buffer
	w, _ := NewWriter(&out, p.header)
	for _, o := range p.order {
		data := bytes.Repeat([]byte{1}, int(min(clusterSize, p.header.Devices[0].Size-int64(o[1])*clusterSize)))
		if err := w.WriteCluster(1, uint32(o[1]), data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, _ := NewReader(&out)
	var got []int
	err := r.Walk(context.Background(), func(_ Device, _ int64, data []byte) error {
		got = append(got, len(data))
		return nil
	})
	if err != nil || fmt.Sprint(got) != fmt.Sprint([]int{3*clusterSize + 100}) {
		t.Errorf("got runs %v and error %v, want one run of %d", got, err, 3*clusterSize+100)
	}
}

func TestVmstateIsAStream(t *testing.T) {
	p := disks(device(1, vmstate, 100))
	build := func(clusters ...uint32) ([]byte, error) {
		var out bytes.Buffer
		w, err := NewWriter(&out, p.header)
		if err != nil {
			return nil, err
		}
		for _, c := range clusters {
			data := make([]byte, clusterSize)
			data[blockSize*int(c+1)] = byte(c + 1)
			if err := w.WriteCluster(1, c, data); err != nil {
				return nil, err
			}
		}
		err = w.Close()
		return out.Bytes(), err
	}
	archive, err := build(0, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	err = r.Walk(context.Background(), func(_ Device, offset int64, data []byte) error {
		if offset != int64(got.Len()) {
			t.Errorf("got offset %d, want %d", offset, got.Len())
		}
		got.Write(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Len() != 3*clusterSize || got.Bytes()[2*clusterSize+3*blockSize] != 3 {
		t.Errorf("got %d bytes, want 3 whole clusters", got.Len())
	}
	if _, err := build(0, 2); err == nil || !strings.Contains(err.Error(), "comes where 1 is due") {
		t.Errorf("got %v for a stream with a gap", err)
	}
}

func TestWalkEndsWithItsContext(t *testing.T) {
	r, err := NewReader(bytes.NewReader(oneDisk(200 * clusterSize).build(t)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	err = r.Walk(ctx, func(_ Device, offset int64, _ []byte) error {
		calls++
		if offset > 58*clusterSize {
			t.Error("the walk went on into the next extent")
		}
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || calls == 0 {
		t.Errorf("got %v after %d calls, want context canceled", err, calls)
	}
}

func TestErrorsOfOthersAreTheirs(t *testing.T) {
	archive := oneDisk(10 * clusterSize).build(t)
	broken := errors.New("medium is gone")
	for name, at := range map[string]int{"in the header": 100, "in an extent header": headerSize + 512 + 10,
		"in the data": len(archive) - 10} {
		t.Run(name, func(t *testing.T) {
			_, _, err := extract(io.MultiReader(bytes.NewReader(archive[:at]), failing{broken}))
			var fault *Error
			if !errors.Is(err, broken) || errors.As(err, &fault) {
				t.Errorf("got %v, want the error of the source, not a fault of the archive", err)
			}
		})
	}
	r, _ := NewReader(bytes.NewReader(archive))
	err := r.Extract(context.Background(), func(Device) (io.WriterAt, error) { return memory{}, nil })
	var fault *Error
	if err == nil || errors.As(err, &fault) || !strings.Contains(err.Error(), "device 1 (drive-scsi0) at offset 0") {
		t.Errorf("got %v, want the device and the offset of the write", err)
	}
	r, _ = NewReader(bytes.NewReader(archive))
	if err := r.Extract(context.Background(), func(Device) (io.WriterAt, error) { return nil, nil }); err != nil {
		t.Errorf("got %v for a device that is left out", err)
	}
	if err := r.Walk(context.Background(), nil); err == nil {
		t.Error("got no error for a second walk")
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// fixSum writes the MD5 of b into its field.
func fixSum(b []byte, at int) {
	clear(b[at : at+md5Size])
	sum := md5.Sum(b)
	copy(b[at:], sum[:])
}

func headerLen(b []byte) int { return int(binary.BigEndian.Uint32(b[hdrSize:])) }

// extentAt returns the n-th extent, header and data.
func extentAt(b []byte, n int) []byte {
	at := headerLen(b)
	for {
		size := extentHeaderSize + int(binary.BigEndian.Uint16(b[at+extBlocks:]))*blockSize
		if n == 0 {
			return b[at : at+size]
		}
		n, at = n-1, at+size
	}
}
