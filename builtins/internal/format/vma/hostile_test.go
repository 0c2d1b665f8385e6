package vma

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// be32 puts a number into the header and mends its MD5.
func be32(at int, v uint32) func([]byte) []byte {
	return func(b []byte) []byte {
		binary.BigEndian.PutUint32(b[at:], v)
		fixSum(b[:headerLen(b)], hdrMD5)
		return b
	}
}

// inExtent changes extent n and mends its MD5.
func inExtent(n int, change func(extent []byte)) func([]byte) []byte {
	return func(b []byte) []byte {
		e := extentAt(b, n)
		change(e)
		fixSum(e[:extentHeaderSize], extMD5)
		return b
	}
}

// inBlobs replaces text within the header and mends the MD5.
func inBlobs(old, new string) func([]byte) []byte {
	return func(b []byte) []byte {
		i := bytes.Index(b[:headerLen(b)], []byte(old))
		copy(b[i:], new)
		fixSum(b[:headerLen(b)], hdrMD5)
		return b
	}
}

// hostile lists what is done to a sound archive and what has to be said about
// it. The archive: two disks of 130 and 3.5 clusters, in extents of 58.
var hostile = []struct {
	name   string
	change func([]byte) []byte
	want   string
}{
	{"wrong magic", func(b []byte) []byte { b[3] = 1; return b }, "not a vma archive"},
	{"version 2", be32(hdrVersion, 2), "version is 2"},
	{"wrong md5 of the header", func(b []byte) []byte { b[hdrMD5]++; return b }, "header does not match its MD5"},
	{"a flipped bit in a config", func(b []byte) []byte { b[headerSize+30] ^= 4; return b }, "header does not match its MD5"},
	{"a header size of 0xffffffff", func(b []byte) []byte { binary.BigEndian.PutUint32(b[hdrSize:], 1<<32-1); return b },
		"header size 4294967295 is outside"},
	{"a header size over the cap", func(b []byte) []byte { binary.BigEndian.PutUint32(b[hdrSize:], maxHeaderSize+512); return b },
		"is outside"},
	{"a header without blobs", func(b []byte) []byte { binary.BigEndian.PutUint32(b[hdrSize:], headerSize); return b }, "is outside"},
	{"a blob offset that overflows", be32(hdrBlobOffset, 1<<32-1), "lies outside the header"},
	{"a blob offset within the fixed part", be32(hdrBlobOffset, 100), "lies outside the header"},
	{"a blob buffer past the header", be32(hdrBlobSize, 513), "lies outside the header"},
	{"a blob size that overflows", be32(hdrBlobSize, 1<<32-1), "lies outside the header"},
	{"a pointer into the middle of a blob", be32(hdrNames, 2), "leads to no blob"},
	{"a pointer past the buffer", be32(hdrData, 1<<31), "leads to no blob"},
	{"a blob cut by the buffer's end", be32(hdrBlobSize, 60), "leads to no blob"},
	{"a device without a name", be32(hdrDevices+devEntrySize, 0), "leads to no blob"},
	{"a device beyond 2^32 clusters", be32(hdrDevices+devEntrySize+8, 1<<31), "more than"},
	{"a device with bit 63 in its size", be32(hdrDevices+devEntrySize+8, 1<<20), "more than"},
	{"devices of more than 32 TiB", be32(hdrDevices+devEntrySize+8, 33<<8), "32 TiB"},
	{"the reserved device 255", be32(hdrDevices+devEntrySize*255+12, 5), "device 255"},
	{"a name without NUL", inBlobs("qemu-server.conf\x00", "qemu-server.conf!"), "does not end with NUL"},
	{"a name with NUL inside", inBlobs("qemu-server.conf", "qemu\x00server.conf"), "NUL inside"},
	{"a name with a path", inBlobs("qemu-server.conf", "../../etc/passwd"), "path separator"},
	{"a name with a backslash", inBlobs("qemu-server.conf", `..\..\etc\passwd`), "path separator"},
	{"a name with an escape code", inBlobs("qemu-server.conf", "\x1b[2J-server.conf"), "control character"},
	{"a device name with a path", inBlobs("drive-scsi0", "../../scsi0"), "path separator"},
	{"two devices of one name", inBlobs("drive-scsi1", "drive-scsi0"), "is there twice"},
	{"two configs of one name", inBlobs("qemu-server.fonf", "qemu-server.conf"), "is there twice"},

	{"wrong magic of an extent", inExtent(1, func(e []byte) { e[3] = 'X' }), "no extent here"},
	{"wrong md5 of an extent", func(b []byte) []byte { extentAt(b, 1)[extMD5]++; return b }, "extent header does not match its MD5"},
	{"a flipped bit in an entry", func(b []byte) []byte { extentAt(b, 1)[extInfo+7] ^= 1; return b }, "extent header does not match its MD5"},
	{"wrong uuid in an extent", inExtent(1, func(e []byte) { e[extUUID]++ }), "uuid"},
	{"a reserved field in an extent", inExtent(1, func(e []byte) { e[5] = 1 }), "reserved field"},
	{"too few blocks counted", inExtent(0, func(e []byte) { e[extBlocks+1]-- }), "its entries"},
	{"65535 blocks counted", inExtent(0, func(e []byte) { e[extBlocks], e[extBlocks+1] = 255, 255 }), "its entries"},
	{"an unknown device", inExtent(0, func(e []byte) { e[extInfo+3] = 7 }), "names device 7"},
	{"the reserved device in an entry", inExtent(0, func(e []byte) { e[extInfo+3] = 255 }), "names device 255"},
	{"a cluster past the end", inExtent(0, func(e []byte) { binary.BigEndian.PutUint32(e[extInfo+4:], 130) }), "cluster 130 is past the end"},
	{"the last possible cluster", inExtent(0, func(e []byte) { binary.BigEndian.PutUint32(e[extInfo+4:], 1<<32-1) }),
		"cluster 4294967295 is past the end"},
	{"a doubled cluster", inExtent(0, func(e []byte) { binary.BigEndian.PutUint32(e[extInfo+4:], 57) }), "cluster 57 is there twice"},
	{"a block past the end", func(b []byte) []byte {
		return inExtent(2, func(e []byte) { // the last cluster keeps 7 stored blocks, the 7th moves to place 8
			last := e[extInfo+8*17:]
			mask := binary.BigEndian.Uint16(last)
			binary.BigEndian.PutUint16(last, mask&^(1<<6)|1<<8)
		})(b)
	}, "is stored past the end"},

	{"an extent taken out of the middle", func(b []byte) []byte {
		e := extentAt(b, 1)
		i := len(b) - len(b[bytes.Index(b, e):])
		return append(b[:i:i], b[i+len(e):]...)
	}, "lacks 58 of 130 clusters, the first is 58"},
	{"an extent that comes twice", func(b []byte) []byte { return append(b, extentAt(b, 0)...) }, "is there twice"},
	{"trailing zeros", func(b []byte) []byte { return append(b, make([]byte, 512)...) }, "no extent here"},
	{"one trailing byte", func(b []byte) []byte { return append(b, 0) }, "archive ends within the header of an extent"},
	{"no extent at all", func(b []byte) []byte { return b[:headerLen(b)] }, "lacks 130 of 130 clusters"},
	{"cut within the fixed header", func(b []byte) []byte { return b[:1000] }, "archive ends within its header"},
	{"cut within the blobs", func(b []byte) []byte { return b[:headerSize+5] }, "archive ends within its header"},
	{"cut within the header of an extent", func(b []byte) []byte { return b[:headerLen(b)+100] },
		"archive ends within the header of an extent"},
	{"cut behind the header of an extent", func(b []byte) []byte { return b[:headerLen(b)+512] }, "archive ends within the data of an extent"},
	{"cut within the data of an extent", func(b []byte) []byte { return b[:len(b)-1] }, "archive ends within the data of an extent"},
	{"cut at the border of an extent", func(b []byte) []byte { return b[:len(b)-len(extentAt(b, 2))] }, "clusters, the first is"},
	{"nothing", func([]byte) []byte { return nil }, "archive ends within its header"},
}

func hostilePlan() plan {
	p := disks(device(1, "drive-scsi0", 130*clusterSize), device(2, "drive-scsi1", 3*clusterSize+clusterSize/2))
	p.header.Configs = append(p.header.Configs, Config{"qemu-server.fonf", []byte("x")})
	return p
}

func TestBadArchivesAreRefused(t *testing.T) {
	sound := hostilePlan().build(t)
	if err := verify(sound); err != nil {
		t.Fatal(err)
	}
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			err := verify(c.change(bytes.Clone(sound)))
			var fault *Error
			if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	sound := disks(device(1, "a", 3*clusterSize), device(2, "b", 700)).build(t)
	for n := 0; n < len(sound); n += 512 {
		if err := verify(sound[:n]); err == nil {
			t.Errorf("got no error for %d of %d bytes", n, len(sound))
		}
	}
}

func TestWhatForeignWritersDoIsTaken(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
	}{
		{"a blob buffer size rounded up", be32(hdrBlobSize, 512)},
		{"a config slot with a name only", be32(hdrNames+8*4, 1)},
		{"a reserved byte in an entry", inExtent(0, func(e []byte) { e[extInfo+2] = 1 })},
		{"unused entries before used ones", inExtent(2, func(e []byte) {
			info := e[extInfo : extInfo+8*extentClusters]
			copy(info[8:], bytes.Clone(info))
			clear(info[:8])
		})},
		{"an empty extent at the end", func(b []byte) []byte {
			e := bytes.Clone(extentAt(b, 0)[:extentHeaderSize])
			clear(e[extInfo:])
			e[extBlocks], e[extBlocks+1] = 0, 0
			fixSum(e, extMD5)
			return append(b, e...)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.change(hostilePlan().build(t))
			_, got, err := extract(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range hostilePlan().header.Devices {
				if !bytes.Equal(got[d.Name], content(d)) {
					t.Errorf("disk %s differs", d.Name)
				}
			}
		})
	}
}

func TestFullLastClusterIsCutAtTheEnd(t *testing.T) {
	// A writer that fills the last cluster up: all 16 blocks of a device of 6000 bytes.
	p := oneDisk(6000)
	sound := p.build(t)
	e := extentAt(sound, 0)
	archive := append(sound[:headerLen(sound):headerLen(sound)], e[:extentHeaderSize]...)
	data := bytes.Repeat([]byte("ab"), clusterSize/2)
	archive = append(archive, data...)
	e = archive[headerLen(archive):][:extentHeaderSize]
	e[extBlocks+1] = 16
	binary.BigEndian.PutUint16(e[extInfo:], fullMask)
	fixSum(e, extMD5)
	_, got, err := extract(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got["drive-scsi0"], data[:6000]) {
		t.Error("the disk differs")
	}
}

func TestHeaderOnlyArchiveWithoutDevicesIsTaken(t *testing.T) {
	b := disks().build(t)
	if err := verify(b[:headerLen(b)]); err != nil {
		t.Error(err)
	}
}

func TestWriterRefuses(t *testing.T) {
	cluster := make([]byte, clusterSize)
	long := Config{Name: "a", Data: make([]byte, maxBlob+1)}
	header := func(c Config, d ...Device) Header { return Header{Configs: []Config{c}, Devices: d} }
	ok := Config{Name: "a"}
	for name, h := range map[string]Header{
		"outside 1 to":               header(ok, device(1, "a", 0)),
		"ids ascend":                 header(ok, device(2, "a", 1), device(1, "b", 1)),
		"after 0":                    header(ok, device(255, "a", 1)),
		"name is empty":              header(Config{}),
		"at most 65535":              header(long),
		"is not a file name":         header(Config{Name: ".."}),
		"longer than 255":            header(Config{Name: strings.Repeat("n", 256)}),
		"is not UTF-8":               header(Config{Name: "\xff"}),
		"32 TiB of disk":             header(ok, device(1, "a", 32<<40), device(2, "b", 1)),
		"is there twice":             {Configs: []Config{ok, ok}},
		"257 configs":                {Configs: make([]Config, 257)},
		"device name \"a\" is there": header(ok, device(1, "a", 1), device(2, "a", 1)),
	} {
		if _, err := NewWriter(io.Discard, h); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
	for want, write := range map[string]func(*Writer) error{
		"lacks 2 of 2 clusters":      func(w *Writer) error { return w.Close() },
		"lacks 1 of 2 clusters":      func(w *Writer) error { return errors.Join(w.WriteCluster(1, 1, []byte{1}), w.Close()) },
		"the first is 1":             func(w *Writer) error { return errors.Join(w.WriteCluster(1, 0, nil), w.Close()) },
		"cluster 0 is there twice":   func(w *Writer) error { return errors.Join(w.WriteCluster(1, 0, nil), w.WriteCluster(1, 0, nil)) },
		"cluster 2 is past the end":  func(w *Writer) error { return w.WriteCluster(1, 2, cluster) },
		"has 65535 bytes, 65536 are": func(w *Writer) error { return w.WriteCluster(1, 0, cluster[1:]) },
		"has 65536 bytes, 1 are due": func(w *Writer) error { return w.WriteCluster(1, 1, cluster) },
		"device 2 is not in":         func(w *Writer) error { return w.WriteCluster(2, 0, cluster) },
		"device 256 is not in":       func(w *Writer) error { return w.WriteCluster(256, 0, cluster) },
		"the writer is closed": func(w *Writer) error {
			return errors.Join(w.WriteCluster(1, 0, nil), w.WriteCluster(1, 1, nil), w.Close(), w.WriteCluster(1, 1, nil))
		},
	} {
		w, err := NewWriter(io.Discard, oneDisk(clusterSize+1).header)
		if err != nil {
			t.Fatal(err)
		}
		if err := write(w); err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if want != "the writer is closed" && w.Close() == nil {
			t.Errorf("Close after %q gives no error", want)
		}
	}
}

func TestMissingClustersOfAHugeDiskAreNamed(t *testing.T) {
	const clusters = 3 * pageBits
	for _, first := range []uint32{0, 5, pageBits, 2*pageBits + 64, clusters - 1} {
		s := newSeen([]Device{device(1, "a", clusters*clusterSize)})[1]
		for c := range uint32(clusters) {
			if c == first || c > first && c%2 == 0 {
				continue
			}
			if err := s.add(c); err != nil {
				t.Fatal(err)
			}
		}
		if n, got := s.missing(); n != clusters-s.count || got != int64(first) {
			t.Errorf("got %d missing from %d, want %d from %d", n, got, clusters-s.count, first)
		}
	}
}
