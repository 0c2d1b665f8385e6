package builtins

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/neosofia/runner/builtins/lab/host"
	"github.com/neosofia/runner/runtime/ledger"
)

const (
	rearOn  = "run pve1.lab rear"
	onStick = `output = "usb", usb = "` + host.StickSerial + `", usb_uuid = "` + host.StickUUID + `", key = "pve-token"`
)

// onNode is a path of the lab's host.
func (b *bench) onNode(parts ...string) string {
	return filepath.Join(append([]string{b.lab.Node().Root}, parts...)...)
}

func (b *bench) rears() (out []ledger.Artifact) {
	for _, a := range b.artifacts() {
		if a.Kind == "rear" {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(x, y ledger.Artifact) int { return x.Created.Compare(y.Created) })
	return out
}

// disks changes the host's disks.
func (b *bench) disks(edit func([]*host.Device) []*host.Device) {
	b.t.Helper()
	if err := b.lab.Node().SetDevices(edit(host.Disks())); err != nil {
		b.t.Fatal(err)
	}
}

// onRoot puts the guests' storage on the disk of the system.
func onRoot(list []*host.Device) []*host.Device {
	return slices.DeleteFunc(list, func(d *host.Device) bool { return d.Name == "sdb" })
}

func comma(args string) string {
	if args == "" {
		return ""
	}
	return ", " + args
}

// grepped looks for words in a file: as it is, unpacked, and inside its image.
func grepped(t *testing.T, file, words string) bool {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte(words)) {
		return true
	}
	for at := 0; ; at++ { // every gzip stream of it: an ISO holds the initial RAM disk as one
		next := bytes.Index(raw[at:], []byte{0x1f, 0x8b, 8})
		if next < 0 {
			return false
		}
		at += next
		z, err := gzip.NewReader(bytes.NewReader(raw[at:]))
		if err != nil {
			continue
		}
		z.Multistream(false)
		clear, _ := io.ReadAll(io.LimitReader(z, 64<<20)) // what is not a stream ends early
		if bytes.Contains(clear, []byte(words)) {
			return true
		}
	}
}
