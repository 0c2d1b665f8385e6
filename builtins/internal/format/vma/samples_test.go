package vma

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// The samples were made by Proxmox's vma tool; the digests are of what that
// tool extracts from them.
const (
	confDigest = "284f2d8ca1ab184615bb1267999e6fdd83487dfd164b9f7bdccde96f0c0a8ef8"
	fwDigest   = "94230abf6902d2b2c6a3c08acc63afa7a512dd94ce37fe15f355d656f21b3fee"
)

var samples = map[string]map[string]string{
	"two-disk": {
		"drive-scsi0":      "d9b2572a806ba5a23a6b442054927d0213997576d62ad6b7eeee32bf127142d7",
		"drive-efidisk0":   "398759b09376ef421098d2e793fe38263359139163575b015fcdb4340f323c9a",
		"qemu-server.conf": confDigest,
		"qemu-server.fw":   fwDigest,
	},
	"zero-disk": {
		"drive-virtio0":    "bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8",
		"qemu-server.conf": confDigest,
	},
	"tiny-512": {
		"drive-scsi0":      "a863e21577e54cd763729803a621804da4b5030afa35bcf879ea3b3413488a66",
		"qemu-server.conf": confDigest,
	},
	"odd-1000": {
		"drive-scsi0":      "c9fb5217698ec06b9619065f403d6376be38d210a07f22572281d5ab5622b366",
		"qemu-server.conf": confDigest,
	},
	"config-only": {"qemu-server.conf": confDigest, "qemu-server.fw": fwDigest},
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	packed, err := os.ReadFile(filepath.Join("testdata", name+".vma.zst"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	b, err := d.DecodeAll(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestProxmoxSamplesGiveWhatProxmoxExtracts(t *testing.T) {
	for name, want := range samples {
		t.Run(name, func(t *testing.T) {
			header, got, err := extract(bytes.NewReader(sample(t, name)))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range header.Configs {
				got[c.Name] = c.Data
			}
			for part, b := range got {
				if digest(b) != want[part] {
					t.Errorf("got digest %s of %s, want %s", digest(b), part, want[part])
				}
			}
			if len(got) != len(want) {
				t.Errorf("got %d parts, want %d", len(got), len(want))
			}
		})
	}
}

func TestProxmoxSampleIsRewrittenWithTheSameExtents(t *testing.T) {
	b := sample(t, "two-disk")
	header, disks, err := extract(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := NewWriter(&out, header)
	if err != nil {
		t.Fatal(err)
	}
	for at := headerLen(b); at < len(b); {
		for i := range extentClusters {
			e := entryAt(b[at:], i)
			if e.dev == 0 {
				continue
			}
			disk := disks[w.byID[e.dev].device.Name][int(e.cluster)*clusterSize:]
			if err := w.WriteCluster(int(e.dev), e.cluster, disk[:min(len(disk), clusterSize)]); err != nil {
				t.Fatal(err)
			}
		}
		at += extentHeaderSize + int(b[at+extBlocks])<<8*blockSize + int(b[at+extBlocks+1])*blockSize
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes()[headerLen(out.Bytes()):], b[headerLen(b):]) {
		t.Error("the extents differ from those of Proxmox")
	}
}

func TestBadSamplesAreRefused(t *testing.T) {
	for name, want := range map[string]string{"bad/dup-cluster": "is there twice", "bad/extent-md5": "does not match its MD5"} {
		if err := verify(sample(t, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}
