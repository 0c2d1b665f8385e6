package real

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

// gateway is an S3 server of its own: versitygw keeps buckets as folders.
const gateway = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

const cloudPolicy = `
def main():
    verify(copies = copy(artifact = save_files(name = "data", paths = ["DATA"]), to = ["disk", "cloud"]), level = "read")
`

// store is a true server of somebody else's storage.
type store struct {
	kind   string // of rclone
	conf   string // of its remote
	folder string // of the target, below the store's root
	dir    string // where its files lie
}

func TestS3ByVersityGateway(t *testing.T) {
	needs(t)
	dir := t.TempDir()
	c := exec.Command("go", "install", gateway)
	c.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", gateway, err, out)
	}
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(filepath.Join(root, "backups"), 0o755); err != nil {
		t.Fatal(err)
	}
	addr := freeAddress(t)
	serve(t, addr, []string{"ROOT_ACCESS_KEY=runner", "ROOT_SECRET_KEY=a-secret-of-the-test"}, filepath.Join(dir, "versitygw"),
		"--port", addr, "--iam-dir", dir, "posix", root)
	comesBack(t, store{"s3", fmt.Sprintf("type = s3\nprovider = Other\nendpoint = http://%s\naccess_key_id = runner\n"+
		"secret_access_key = a-secret-of-the-test\nforce_path_style = true\n", addr), "backups/pve1", filepath.Join(root, "backups/pve1")})
}

const davConf = `ServerRoot DIR
PidFile DIR/pid
Listen ADDR
User nobody
Group nogroup
ServerName localhost
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
LoadModule dav_module /usr/lib/apache2/modules/mod_dav.so
LoadModule dav_fs_module /usr/lib/apache2/modules/mod_dav_fs.so
DavLockDB DIR/lock/db
ErrorLog DIR/error.log
DocumentRoot DIR/files
<Directory DIR/files>
  Dav On
  Require all granted
</Directory>
`

func TestWebDAVByApache(t *testing.T) {
	needs(t, "apache2")
	dir := t.TempDir()
	files := filepath.Join(dir, "files")
	for _, d := range []string{files, filepath.Join(dir, "lock")} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(d, 0o777); err != nil { // whatever the umask is
			t.Fatal(err)
		}
	}
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	addr := freeAddress(t)
	conf := filepath.Join(dir, "apache.conf")
	if err := os.WriteFile(conf, []byte(strings.NewReplacer("DIR", dir, "ADDR", addr).Replace(davConf)), 0o644); err != nil {
		t.Fatal(err)
	}
	apache, err := find("apache2")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, addr, nil, apache, "-X", "-f", conf) // one process, which ends with the test
	comesBack(t, store{"webdav", "type = webdav\nurl = http://" + addr + "\nvendor = other\n", "backups", filepath.Join(files, "backups")})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// serve runs a server until the test ends, and returns when it answers.
func serve(t *testing.T, addr string, env []string, program string, args ...string) {
	t.Helper()
	c := exec.Command(program, args...)
	var words bytes.Buffer
	c.Stdout, c.Stderr, c.Env = &words, &words, append(os.Environ(), env...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		_ = c.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("%s said\n%s", filepath.Base(program), tail(words.String(), 2000))
		}
	})
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if res, err := http.Get("http://" + addr + "/"); err == nil {
			res.Body.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", program, err, words.String())
		case <-deadline:
			t.Fatalf("%s does not answer\n%s", program, words.String())
		case <-tick.C:
		}
	}
}

// comesBack goes from files to the store and back, and finds what is changed there.
func comesBack(t *testing.T, s store) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	scheme := "cloud"
	if s.kind == "webdav" {
		scheme = "webdav"
	}
	d := newDesk(t, "", "", "tar")
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	if scheme == "cloud" {
		if err := compile(filepath.Join(filepath.Dir(bin), "runner-cloud"), "../../cmd/runner-cloud"); err != nil {
			t.Fatal(err)
		}
	}
	data := d.path("data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 5<<20)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	site := siteOf(t, d) + fmt.Sprintf(`
host(name = "here", local = True, rear = False, firewall = False)
keyring(dir = %q, password_file = %q)
asset(name = "files", on = {"disk": "read", "cloud": "read"})
target(name = "cloud", url = "%s:///%s", medium = "cloud", location = "elsewhere", offsite = True, sealed_to = [%q],
    part_size = 1048576, login = secret("cloud"))
`, d.path("keyring"), d.path("password"), scheme, s.folder, id.Recipient())
	for name, text := range map[string]string{"policy.star": strings.ReplaceAll(cloudPolicy, "DATA", data), "site.star": site,
		"password": "real keyring\n", "rclone.conf": "[there]\n" + s.conf, "key.txt": id.String() + "\n", "data/noise": string(noise),
		"data/text": "hello\n"} {
		if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.runner(0, "cloud", "import", "there", "--config", d.path("rclone.conf"), "--secret", "cloud")
	out := d.runner(0, "exec", d.path("policy.star"))
	if !strings.Contains(out, "cloud") {
		t.Errorf("it does not name the store:\n%s", out)
	}
	// From there alone, with a login and the recovery key.
	d.runner(0, "cloud", "import", "there", "--config", d.path("rclone.conf"), "--out", d.path("login.json"))
	from := []string{"recover", "--from", scheme + ":///" + s.folder, "--login", d.path("login.json"), "--identity", d.path("key.txt")}
	d.runner(0, append(from, "--verify")...)
	d.runner(0, append(from, "--item", "data", "--to", d.path("back"))...)
	back, err := filepath.Glob(filepath.Join(d.path("back"), "*", "tree", data, "noise"))
	if err != nil || len(back) != 1 {
		t.Fatalf("got %v, %v", back, err)
	}
	tool(t, "cmp", filepath.Join(data, "noise"), back[0])
	// The night after: what is there is there, and a second copy stands beside it.
	if err := os.WriteFile(filepath.Join(data, "text"), []byte("changed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.runner(0, "exec", d.path("policy.star"))
	// Somebody changes a byte there.
	parts, err := filepath.Glob(filepath.Join(s.dir, "files", "data", "*", "files.tar.zst.*.age"))
	if err != nil || len(parts) < 10 {
		t.Fatalf("got %v, %v, want the parts of two copies", parts, err)
	}
	part, err := os.ReadFile(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	part[len(part)/2] ^= 1
	if err := os.WriteFile(parts[1], part, 0o644); err != nil {
		t.Fatal(err)
	}
	if out := d.runner(1, append(from, "--verify")...); !strings.Contains(out, "E_DAMAGED") {
		t.Errorf("the damage was not found:\n%s", out)
	}
}
