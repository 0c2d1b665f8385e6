package archive

import (
	"fmt"
	"path/filepath"
	"strings"
)

// What a name says about a file.
const (
	vmaContainer = "vma"
	tarContainer = "tar"
	noContainer  = "" // any bytes, compressed

	zstdPacked = "zst"
	gzipPacked = "gz"
	lzoPacked  = "lzo" // cannot be opened: no kept library unpacks it
	bz2Packed  = "bz2"
	unpacked   = ""
)

// format is what the name of a file promises about its contents.
type format struct {
	container   string
	compression string
	wantConfig  string // the configuration that has to be inside, or ""
}

func (f format) String() string {
	return strings.TrimPrefix(strings.TrimSuffix(f.container+"."+f.compression, "."), ".")
}

// suffixes is searched from the front: the longer ones come first.
var suffixes = []struct {
	suffix string
	format format
}{
	{".vma.zst", format{container: vmaContainer, compression: zstdPacked}},
	{".vma.gz", format{container: vmaContainer, compression: gzipPacked}},
	{".vma.lzo", format{container: vmaContainer, compression: lzoPacked}},
	{".vma.bz2", format{container: vmaContainer, compression: bz2Packed}},
	{".vma", format{container: vmaContainer}},
	{".tar.zst", format{container: tarContainer, compression: zstdPacked}},
	{".tar.gz", format{container: tarContainer, compression: gzipPacked}},
	{".tgz", format{container: tarContainer, compression: gzipPacked}},
	{".tar.lzo", format{container: tarContainer, compression: lzoPacked}},
	{".tar.bz2", format{container: tarContainer, compression: bz2Packed}},
	{".tar", format{container: tarContainer}},
	{".zst", format{compression: zstdPacked}},
	{".gz", format{compression: gzipPacked}},
	{".lzo", format{compression: lzoPacked}},
}

// formatOf reads the name of a file; the folder does not matter.
func formatOf(name string) (format, error) {
	base := filepath.Base(name)
	for _, s := range suffixes {
		if len(base) <= len(s.suffix) || !strings.HasSuffix(base, s.suffix) {
			continue
		}
		f := s.format
		switch {
		case f.container == vmaContainer && strings.HasPrefix(base, "vzdump-qemu-"):
			f.wantConfig = "qemu-server.conf"
		case f.container == tarContainer && strings.HasPrefix(base, "vzdump-lxc-"):
			f.wantConfig = "pct.conf"
		}
		return f, nil
	}
	return format{}, fmt.Errorf("open %s: %w", name, ErrUnknown)
}

// Known reports whether the name is that of an archive. It is true for archives
// packed with lzo, which Proxmox restores and this package cannot open: Check says
// so, and the operator learns that such a copy is read, and not opened.
func Known(name string) bool {
	_, err := formatOf(name)
	return err == nil
}
