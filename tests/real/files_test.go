package real

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const filesPolicy = `
def main():
    verify(copies = copy(artifact = save_files(name = "data", paths = ["DATA", "DATA/mounted/inner", "/nowhere/at all"], exclude = ["*.tmp", "DATA/cache"])), level = "opened")
`

const filesSite = `
host(name = "here", local = True, rear = False, firewall = False)
asset(name = "files", on = {"disk": "opened"})
`

// awkward makes a tree of what archives get wrong.
const awkward = `set -eu
mkdir -p plain/sub setgid empty cache mounted 'with space'
echo cached > cache/x; echo scratch > plain/sub/x.tmp
echo alpha > plain/a; chmod 4755 plain/a; chown 1234:5678 plain/a
touch -d '2001-02-03 04:05:06.123456789 UTC' plain/a
ln plain/a plain/sub/hard; ln -s ../nowhere plain/dangling; ln -s /etc/passwd plain/out
chmod 2770 setgid; setfacl -m u:4321:rwx,g:8765:r-x setgid; setfacl -d -m u:4321:rwx setgid
echo acl > setgid/acl; setfacl -m u:1:r setgid/acl
echo attr > plain/attr; setfattr -n user.color -v blue plain/attr; setfattr -n user.bin -v 0x00ff0a plain/sub/hard
truncate -s 400M plain/holes; printf end | dd of=plain/holes bs=1 seek=200000000 conv=notrunc status=none
echo uml > "$(printf 'Gr\303\274\303\237e')"; echo nl > "$(printf 'two\nlines: \\ *')"; echo latin > "$(printf 'l\344tin')"
echo dash > ./-rf; echo 'tar: x: Cannot open' > 'tar: x: Cannot open: Permission denied'
mkfifo fifo; mknod null c 1 3
for n in $(seq 40); do d=plain/$(printf 'long-%.0s' $(seq 40)); mkdir -p $d; echo $n > $d/$(printf 'name-%.0s' $(seq 45))$n; done
dd if=/dev/urandom of=plain/random bs=1M count=9 status=none
touch -d '1999-12-31 23:59:59 UTC' empty plain setgid
`

// packedTree is a tree as tar sees all of it, but for the sparse file: there tar notes
// its process.
func packedTree(t *testing.T, dir string) []byte {
	t.Helper()
	c := exec.Command("tar", "--create", "--format=posix", "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
		"--sort=name", "--acls", "--xattrs", "--xattrs-include=*",
		"--numeric-owner", "--one-file-system", "--exclude=*.tmp", "--exclude=./cache", "--exclude=./socket", "--exclude=./plain/holes",
		"--exclude=./mounted/inner", "-C", dir, ".")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		t.Fatalf("tar of %s: %v\n%s", dir, err, errs.String())
	}
	return out.Bytes()
}

func TestFilesComeBackAsTheyWere(t *testing.T) {
	d := newDesk(t, "", "", "tar", "bash", "setfacl", "setfattr")
	data := d.path("data")
	for name, text := range map[string]string{"policy.star": strings.ReplaceAll(filesPolicy, "DATA", data),
		"site.star": filesSite + siteOf(t, d)} {
		if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("bash", "-c", awkward)
	c.Dir = data
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("make the tree: %v\n%s", err, out)
	}
	l, err := net.Listen("unix", filepath.Join(data, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	inner := newDisk(t, d.dir, "inner", "INNER")
	inner.mount(filepath.Join(data, "mounted"))
	defer syscall.Unmount(filepath.Join(data, "mounted"), 0)
	if err := os.WriteFile(filepath.Join(data, "mounted/inner"), []byte("on another disk\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	out := d.runner(3, "exec", d.path("policy.star"))
	for _, want := range []string{"data/mounted", "another file system is mounted there", "/nowhere/at", "is not there",
		"sockets are not saved"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("it does not tell %q:\n%s", want, out)
		}
	}
	copies, err := filepath.Glob(d.path("media/files/data/*/files.tar.zst"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("got %v, %v", copies, err)
	}

	out = d.runner(0, "recover", "--from", d.path("media"), "--item", "data", "--to", d.path("back"))
	trees, err := filepath.Glob(d.path("back/*/tree"))
	if err != nil || len(trees) != 1 {
		t.Fatalf("got %v, %v\n%s", trees, err, out)
	}
	want := packedTree(t, data)
	same(t, "what recover extracts", want, packedTree(t, filepath.Join(trees[0], data)))
	if raw, err := os.ReadFile(filepath.Join(trees[0], data, "mounted/inner")); err != nil || string(raw) != "on another disk\n" {
		t.Errorf("the path on another disk: got %q, %v", raw, err)
	}
	for _, left := range []string{"cache", "plain/sub/x.tmp", "socket"} {
		if _, err := os.Lstat(filepath.Join(trees[0], data, left)); err == nil {
			t.Errorf("%s was saved", left)
		}
	}
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(trees[0], data, "plain/holes"), &st); err != nil || st.Size != 400<<20 || st.Blocks > 64 {
		t.Errorf("the sparse file came back with %d bytes in %d blocks, %v", st.Size, st.Blocks, err)
	}
	tool(t, "cmp", filepath.Join(data, "plain/holes"), filepath.Join(trees[0], data, "plain/holes"))

	// The line that recover prints, and the one in README.txt, bring the same back.
	put := ""
	for line := range strings.Lines(out) {
		if text := strings.TrimSpace(line); strings.HasPrefix(text, "tar -C ") {
			put = text
		}
	}
	for name, line := range map[string]string{
		"put":  "mkdir put && " + strings.Replace(put, "| tar -C / ", "| tar -C put ", 1),
		"TREE": readmeLine(t, filepath.Dir(copies[0])),
	} {
		c := exec.Command("bash", "-o", "pipefail", "-euc", line)
		c.Dir = d.dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		same(t, line, want, packedTree(t, filepath.Join(d.dir, name, data)))
	}
}

// The same over SSH: tar runs there, as the account that runner has.
func TestFilesOfAnotherMachineComeBack(t *testing.T) {
	d := newDesk(t, "", "", "tar", "bash", "setfacl", "setfattr", "sshd", "ssh-keygen")
	for _, k := range []string{"client", "host"} {
		tool(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d.path(k))
	}
	pub, err := os.ReadFile(d.path("host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	other := startSSHD(t, d.dir)
	site := fmt.Sprintf(`
keyring(dir = %q, password_file = %q)
host(name = "other", ssh = "root@%s", host_key = %q, ssh_key = secret("key"), rear = False, firewall = False)
asset(name = "files", on = {"disk": "opened"})
`, d.path("keyring"), d.path("password"), other.addr, strings.Join(strings.Fields(string(pub))[:2], " ")) + siteOf(t, d)
	policy := fmt.Sprintf(`
def main():
    files = save_files(name = "data", paths = [%q], exclude = ["*.tmp", %q])
    verify(copies = copy(artifact = files), level = "opened")
`, d.path("data"), d.path("data/cache"))
	for name, text := range map[string]string{"site.star": site, "policy.star": policy, "password": "real keyring\n"} {
		if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("bash", "-c", "mkdir data && cd data\n"+awkward)
	c.Dir = d.dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("make the tree: %v\n%s", err, out)
	}
	key, err := os.Open(d.path("client"))
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	all := d.args("secret", "set", "key")
	set := exec.Command(all[0], all[1:]...)
	set.Stdin = key
	if out, err := set.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d.runner(0, "exec", d.path("policy.star"))
	out := d.runner(0, "recover", "--from", d.path("media"), "--item", "data", "--to", d.path("back"))
	trees, err := filepath.Glob(d.path("back/*/tree"))
	if err != nil || len(trees) != 1 {
		t.Fatalf("got %v, %v\n%s", trees, err, out)
	}
	same(t, "what recover extracts", packedTree(t, d.path("data")), packedTree(t, filepath.Join(trees[0], d.path("data"))))
}

func same(t *testing.T, what string, want, got []byte) {
	t.Helper()
	if !bytes.Equal(want, got) {
		at := 0
		for at < min(len(want), len(got)) && want[at] == got[at] {
			at++
		}
		t.Errorf("%s: the tree differs from byte %d of its tar (%d and %d bytes), near %q", what, at, len(want), len(got),
			got[max(0, at-200):min(len(got), at+200)])
	}
}

// siteOf is the target of a desk.
func siteOf(t *testing.T, d *desk) string {
	t.Helper()
	raw, err := os.ReadFile(d.path("site.star"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// readmeLine is the command of a copy's README.txt.
func readmeLine(t *testing.T, folder string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(folder, "README.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if text := strings.TrimSpace(line); strings.HasPrefix(text, "mkdir TREE && tar ") {
			return strings.ReplaceAll(text, " ./", " "+folder+"/")
		}
	}
	t.Fatalf("no command in\n%s", raw)
	return ""
}
