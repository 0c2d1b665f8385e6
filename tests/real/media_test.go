package real

import (
	"os"
	"strings"
	"testing"

	"filippo.io/age"
)

// mediaPackages are what a host needs for media, besides Debian's minimal base.
const mediaPackages = "cryptsetup-bin,smartmontools,e2fsprogs,udev,kmod,linux-image-cloud-amd64,initramfs-tools,util-linux,procps"

// A virtual machine of Debian 13 with udev prepares two LUKS disks, writes and ejects
// them. One is cloned, and pulled out of its bus while it is written; the header of the
// other one is overwritten.
func TestLUKSMediaThatTravel(t *testing.T) {
	dir := machineDir(t, "media")
	policy, err := os.ReadFile("../../policies/media.star")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile("../../policies/systemd/60-runner-media.rules")
	if err != nil {
		t.Fatal(err)
	}
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	kernel, initrd := host(t, dir, "media", mediaPackages, map[string]string{
		"password": "real keyring\n", "media.star": string(policy), "60-runner-media.rules": string(rules),
		"site.star": `host(name = "here", local = True, rear = False, firewall = False)
keyring(dir = "/var/lib/runner/keyring", password_file = "/test/password")
target(name = "disk", url = "file:///copies", medium = "disk", location = "here")
target(name = "sealed", url = "file:///sealed", medium = "disk", location = "here", sealed_to = ["` + key.Recipient().String() + `"])
allow(destroy = ["prune"])
`, "key": key.String() + "\n",
		"set.star": `media(set = "offline", names = ["offline-a", "offline-b"], every = "7d", grace = "2d", keeper = "Anna")
asset(name = "files", on = {"disk": "opened", "offline": "read"}, offline = 1)
accept_gap(item = "data", gap = "disk of its own for disk", reason = "the machine of a test", until = "2099-01-01")
`,
		"save.star": `policy(sop = "IT-245", section = "Files", version = "1.0.0")

def main():
    verify(copies = copy(artifact = save_files(name = "data", paths = ["/data"])))
`})
	results := boot(t, kernel, initrd, dir, []drive{{"USBDISKA", 256 << 20}, {"USBDISKB", 256 << 20}, {"USBDISKC", 256 << 20}})
	for name, want := range map[string]struct {
		code  string
		words []string
	}{
		"prepare-offline-a": {"0", []string{"serial USBDISKA", "EVERYTHING ON IT WILL BE LOST", "offline-a is prepared"}},
		"prepare-offline-b": {"0", []string{"serial USBDISKB"}},
		"open":              {"0", []string{"offline-a is open at /media/offline-a"}},
		"save":              {"0", []string{"1 of 1 items safe"}},
		"status":            {"", []string{"offline-a is still attached", "runner media eject offline-a"}},
		"eject":             {"0", []string{"you may unplug offline-a (serial USBDISKA)"}},
		"again":             {"0", []string{"offline-a is open"}},
		"list":              {"0", []string{"files", "data"}},
		"eject2":            {"0", []string{"you may unplug offline-a"}},
		"cloned":            {"1", []string{"E_DISK_CLONED", "USBDISKA", "USBDISKC"}},
		"pulled":            {"1", []string{"offline-a", "E_MEDIA_ABSENT"}},
		"away":              {"0", []string{"offline-a: away since"}},
		"open3":             {"0", []string{"offline-a is open"}},
		"catchup":           {"0", []string{"ok after"}},
		"status2":           {"", []string{"2 full", "offline-a is still attached"}},
		"status3":           {"0", []string{"1/1 offline", "offline-a  away since"}},
		"eject3":            {"0", []string{"you may unplug offline-a"}},
		"unlock":            {"0", []string{"is open at /mnt, to be read"}},
		"bare":              {"0", []string{"files", "data", "opened"}},
		"damaged":           {"1", []string{"target offline-b", "E_DISK_LOCKED", "its header is damaged"}},
		"verify":            {"0", []string{"ok: "}},
	} {
		text, code := results(name+".txt"), strings.TrimSpace(results(name+".code"))
		if want.code != "" && code != want.code {
			t.Errorf("%s: exit %s, want %s\n%s", name, code, want.code, text)
		}
		for _, w := range want.words {
			if !strings.Contains(text, w) {
				t.Errorf("%s does not say %q:\n%s", name, w, text)
			}
		}
	}
	if text := results("rules.txt"); !strings.Contains(text, "USBDISKA wants runner-media@offline-a.service") ||
		strings.Contains(text, "RESULT1 wants") || !strings.Contains(text, "Success: 1") {
		t.Errorf("the rule of udev: %s", text)
	}
	if text := results("ejected.txt"); strings.Contains(text, "/media/offline-a") || strings.Contains(text, "crypt ") {
		t.Errorf("after eject it is still open:\n%s", text)
	}
}
