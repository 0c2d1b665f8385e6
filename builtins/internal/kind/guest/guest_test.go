package guest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/neosofia/runner/builtins/internal/kind"
)

// Archives that a true Proxmox VE made are extracted as recover does it.
func TestArchivesOfATrueNodeAreExtracted(t *testing.T) {
	for folder, c := range map[string]struct{ path, reported string }{
		"vm-all-disks-excluded": {"qemu-server.conf", "no disk is in this archive"},
		"vm-efi":                {"disk-drive-efidisk0.raw", ""},
		"ct-suspend-zst":        {"rootfs/etc/hostname", ""},
		"ct-exclude-suspend":    {"rootfs/etc/inittab", ""},
	} {
		t.Run(folder, func(t *testing.T) {
			files, err := filepath.Glob("../../format/archive/testdata/pve/" + folder + "/vzdump-*")
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			f, err := os.Open(files[0])
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			j := &kind.Job{Into: t.TempDir()}
			if err := Unpack(t.Context(), j, filepath.Base(files[0]), f); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(j.Into, c.path)); err != nil {
				t.Error(err)
			}
			if len(j.Say) < 2 || j.Say[0] != putBackTitle {
				t.Errorf("nothing says how it is put back: %q", j.Say)
			}
			if reported := strings.Join(j.Skipped, "\n"); c.reported != "" && !strings.Contains(reported, c.reported) || c.reported == "" &&
				strings.Contains(reported, "no disk") {
				t.Errorf("got %q", reported)
			}
		})
	}
}
