package real

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
)

// The archives were made by vzdump of a Proxmox VE 9.2 and by Proxmox's own vma
// tool; the digests are those that Proxmox's tools extract.
func TestProxmoxsOwnArchivesComeOutWithTheirDigests(t *testing.T) {
	needs(t)
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	const formats = "../../builtins/internal/format/"
	for _, c := range []struct {
		file  string
		disks map[string]string
	}{
		{"archive/testdata/vzdump-qemu-100-2026_11_23-07_11_16.vma.zst",
			map[string]string{"drive-scsi0": "97b0666cb40a62c6319dc642cb7a7c619db73e52affc94cd201aec21a3a06832"}},
		{"archive/testdata/vzdump-lxc-101-2026_11_23-06_49_42.tar.zst", nil},
		{"vma/testdata/two-disk.vma.zst", map[string]string{"drive-scsi0": "d9b2572a806ba5a23a6b442054927d0213997576d62ad6b7eeee32bf127142d7",
			"drive-efidisk0": "398759b09376ef421098d2e793fe38263359139163575b015fcdb4340f323c9a"}},
		{"vma/testdata/zero-disk.vma.zst", map[string]string{"drive-virtio0": "bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8"}},
		{"vma/testdata/tiny-512.vma.zst", map[string]string{"drive-scsi0": "a863e21577e54cd763729803a621804da4b5030afa35bcf879ea3b3413488a66"}},
		{"vma/testdata/odd-1000.vma.zst", map[string]string{"drive-scsi0": "c9fb5217698ec06b9619065f403d6376be38d210a07f22572281d5ab5622b366"}},
	} {
		t.Run(filepath.Base(c.file), func(t *testing.T) {
			to := t.TempDir()
			out, err := exec.Command(bin, "recover", "--from", formats+c.file, "--to", to).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for disk, want := range c.disks {
				paths, _ := filepath.Glob(to + "/*/disk-" + disk + ".raw")
				if len(paths) != 1 || sum(t, paths[0]) != want {
					t.Errorf("%s: got %v, want digest %s", disk, paths, want)
				}
			}
			if c.disks == nil {
				if trees, _ := filepath.Glob(to + "/*/rootfs/*"); len(trees) == 0 {
					t.Error("no tree came out")
				}
			}
		})
	}
	for _, bad := range []string{"dup-cluster", "extent-md5"} {
		t.Run(bad+" is refused", func(t *testing.T) {
			out, err := exec.Command(bin, "recover", "--from", formats+"vma/testdata/bad/"+bad+".vma.zst").CombinedOutput()
			if err == nil {
				t.Errorf("it was called fine:\n%s", out)
			}
		})
	}
	out, err := exec.Command(bin, "recover", "--json", "--from",
		formats+"archive/testdata/vzdump-qemu-100-2026_11_23-07_11_16.vma.zst").Output()
	var parsed struct{ Configs map[string]string }
	if err != nil || json.Unmarshal(out, &parsed) != nil ||
		parsed.Configs["qemu-server.conf"] != "8a4d24f494ec9095db8231148960a8a78194e1ef0f5af386201f53702d9d9b49" {
		t.Errorf("configuration: %v %s", err, out)
	}
}
