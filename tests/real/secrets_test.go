package real

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
)

// vault is a site with a keyring of some backend, whose secrets are sealed to a key
// that age-keygen made.
type vault struct {
	t         *testing.T
	bin, dir  string
	env       []string
	wrap      []string // a command in which all of them run
	recipient string
}

func newVault(t *testing.T, keyring, more string) *vault {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	v := &vault{t: t, bin: bin, dir: t.TempDir()}
	v.env = append(os.Environ(), "HOME="+v.dir)
	v.recipient = v.keygen("recovery.txt")
	v.write("password", "a password\n")
	v.write("site.star", fmt.Sprintf("keyring(%s)\nasset(name = \"credentials\")\n%s\n", keyring, more))
	v.write("seal.star", fmt.Sprintf("def main():\n    seal_secrets(recipients = [%q], names = [\"runner-real/*\"])\n", v.recipient))
	return v
}

func (v *vault) path(name string) string { return filepath.Join(v.dir, name) }

func (v *vault) write(name, text string) {
	v.t.Helper()
	if err := os.WriteFile(v.path(name), []byte(text), 0o600); err != nil {
		v.t.Fatal(err)
	}
}

// keygen makes a key with age-keygen, and returns its recipient.
func (v *vault) keygen(name string) string {
	v.t.Helper()
	_, recipient, found := strings.Cut(strings.TrimSpace(tool(v.t, "age-keygen", "-o", v.path(name))), "Public key: ")
	if !found {
		v.t.Fatal("age-keygen prints no recipient")
	}
	return recipient
}

// run runs runner with what it reads from standard input.
func (v *vault) run(stdin string, args ...string) (string, error) {
	v.t.Helper()
	line := append(append([]string{}, v.wrap...), v.bin)
	line = append(line, args...)
	cmd := exec.CommandContext(v.t.Context(), line[0], append(line[1:], "-v", "--site", v.path("site.star"), "--state", v.path("state"))...)
	cmd.Env, cmd.Dir, cmd.Stdin = v.env, v.dir, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (v *vault) good(stdin string, args ...string) string {
	v.t.Helper()
	out, err := v.run(stdin, args...)
	if err != nil {
		v.t.Fatalf("runner %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// realSecrets are put into every keyring, and have to come out of the bundle.
var realSecrets = map[string]string{"runner-real/token": "a token that comes back", "runner-real/key.pem": "line 1\nline 2\n\x00\xff end"}

// roundTrip sets the secrets, seals them, and opens the bundle with age and tar.
func (v *vault) roundTrip() {
	v.t.Helper()
	for name, value := range realSecrets {
		v.good(value, "secret", "set", name)
		v.t.Cleanup(func() { v.run("", "secret", "remove", name) }) // some keyrings outlive the test
	}
	if out, err := v.run("", "exec", v.path("seal.star")); !strings.Contains(out, "seal_secrets(") || strings.Contains(out, "FAIL") {
		v.t.Fatalf("got %v\n%s", err, out)
	}
	opened := v.open("bundle.age", "recovery.txt")
	for name, want := range realSecrets {
		got, err := os.ReadFile(filepath.Join(opened, "secrets", strings.ReplaceAll(name, "/", "%2F")))
		if err != nil || string(got) != want {
			v.t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for name := range realSecrets {
		v.good("", "secret", "remove", name)
	}
}

// sealed is the file of the artifact in the spool.
func (v *vault) sealed(name string) string {
	v.t.Helper()
	found, err := filepath.Glob(filepath.Join(v.dir, "state", "spool", "*", name))
	if err != nil || len(found) != 1 {
		v.t.Fatalf("got %v, %v, want one %s", found, err, name)
	}
	return found[0]
}

func (v *vault) open(file, key string) (dir string) {
	v.t.Helper()
	clear, dir := v.path("clear.tar"), v.path("opened")
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		v.t.Fatal(err)
	}
	tool(v.t, "age", "-d", "-i", v.path(key), "-o", clear, v.sealed(file))
	tool(v.t, "tar", "-x", "-f", clear, "-C", dir)
	return dir
}

// The secrets of each kind of keyring are sealed, and Debian's age opens them.
func TestSecretsOfTrueKeyringsAreOpenedByAge(t *testing.T) {
	needs(t, "age", "age-keygen", "tar")
	t.Run("file", func(t *testing.T) {
		newVault(t, `backend = "file", dir = "ring", password_file = "password"`, "").roundTrip()
	})
	t.Run("keyctl", func(t *testing.T) {
		needs(t, "keyctl", "bash")
		v := newVault(t, `backend = "keyctl"`, "")
		// What a login does: the user's keyring hangs in that of the session. Without it
		// the kernel lets nobody read what lies in there.
		v.wrap = []string{"keyctl", "session", "-", "bash", "-c", `keyctl link @u @s && exec "$@"`, "session"}
		v.roundTrip()
	})
	t.Run("pass", func(t *testing.T) {
		needs(t, "pass", "gpg", "gpgconf")
		v := newVault(t, `backend = "pass"`, "")
		short, err := os.MkdirTemp("", "gpg-") // the agent's socket has a short name
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(short)
		v.env = append(v.env, "GNUPGHOME="+short, "PASSWORD_STORE_DIR="+v.path("store"))
		outside := func(name string, args ...string) {
			t.Helper()
			cmd := exec.CommandContext(t.Context(), name, args...)
			cmd.Env = v.env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, out)
			}
		}
		outside("gpg", "--batch", "--passphrase", "", "--quick-gen-key", "runner@example.org", "default", "default", "never")
		defer outside("gpgconf", "--kill", "all")
		outside("pass", "init", "runner@example.org")
		v.roundTrip()
	})
	t.Run("secret-service", func(t *testing.T) {
		needs(t, "dbus-run-session", "dbus-send", "gnome-keyring-daemon", "bash", "secret-tool")
		newVault(t, `backend = "secret-service"`, "").inSession()
	})
}

// inSession does the round trip within a session of D-Bus of its own: the session
// runs this test's program again, as the child that has the bus.
func (v *vault) inSession() {
	v.t.Helper()
	run := v.path("run")
	if err := os.Mkdir(run, 0o700); err != nil {
		v.t.Fatal(err)
	}
	ready, done := v.path("ready"), v.path("done")
	for _, pipe := range []string{ready, done} {
		tool(v.t, "mkfifo", pipe)
	}
	// The daemon is ended by its id, which the bus knows.
	script := `printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null || exit 1
for _ in $(seq 200); do # it has the name shortly after it has gone to the background
    pid=$(dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus.GetConnectionUnixProcessID string:org.freedesktop.secrets 2>/dev/null | grep -oE '[0-9]+$') && break
    sleep 0.05
done
[ -n "$pid" ] || exit 1
echo "$DBUS_SESSION_BUS_ADDRESS" > "$1"
read -r _ < "$2"
kill "$pid"`
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	v.t.Cleanup(stop)
	session := exec.CommandContext(ctx, "dbus-run-session", "--", "bash", "-c", script, "session", ready, done)
	session.Env = append(v.env, "XDG_RUNTIME_DIR="+run)
	var said bytes.Buffer
	session.Stdout, session.Stderr = &said, &said
	session.WaitDelay = 5 * time.Second // the daemon holds its output open a little longer
	if err := session.Start(); err != nil {
		v.t.Fatal(err)
	}
	ended := make(chan error, 1)
	address := make(chan string, 1)
	go func() { ended <- session.Wait() }()
	go func() {
		raw, _ := os.ReadFile(ready) // waits for its writer
		address <- strings.TrimSpace(string(raw))
	}()
	select {
	case err := <-ended:
		v.t.Fatalf("the session ended: %v\n%s", err, said.String())
	case a := <-address:
		v.env = append(v.env, "DBUS_SESSION_BUS_ADDRESS="+a, "XDG_RUNTIME_DIR="+run)
	}
	v.t.Cleanup(func() {
		pipe, err := os.OpenFile(done, os.O_RDWR, 0) // does not wait for a reader that is gone
		if err == nil {
			defer pipe.Close()
			_, err = pipe.WriteString("\n")
		}
		if err != nil {
			v.t.Error(err)
		}
		<-ended
	})
	// what a browser keeps there, too, is listed to everybody
	alien := exec.CommandContext(ctx, "secret-tool", "store", "--label=Safe Storage", "application", "browser")
	alien.Env, alien.Stdin = v.env, strings.NewReader("not runner's")
	if out, err := alien.CombinedOutput(); err != nil {
		v.t.Fatalf("%v: %s", err, out)
	}
	v.roundTrip()
	if out := v.good("", "secret", "list"); !strings.Contains(out, "Safe Storage") {
		v.t.Errorf("the other program's item is not in the list: this shows nothing\n%s", out)
	}
}

// Custodians open what was sealed to them with age and Python alone; what they get is
// a hybrid identity, which age opens from version 1.3 on, and runner everywhere.
func TestCustodiansOpenTheSecretsWithoutRunner(t *testing.T) {
	needs(t, "age", "age-keygen", "tar", "python3")
	names := []string{"anna", "ben", "carla"}
	v := newVault(t, `backend = "file", dir = "ring", password_file = "password"`, "")
	text := "def main():\n    seal_secrets(threshold = 2, custodians = {"
	for _, n := range names {
		text += fmt.Sprintf("%q: %q, ", n, v.keygen(n+".txt"))
	}
	v.write("seal.star", text+"})\n")
	for name, value := range realSecrets {
		v.good(value, "secret", "set", name)
	}
	if out, err := v.run("", "exec", v.path("seal.star")); !strings.Contains(out, "seal_secrets(") || strings.Contains(out, "FAIL") {
		t.Fatalf("got %v\n%s", err, out)
	}
	readme, err := os.ReadFile(v.sealed("share-README.txt"))
	if err != nil {
		t.Fatal(err)
	}
	_, script, found := strings.Cut(string(readme), strings.Repeat("-", 70)+"\n")
	if !found || strings.Count(script, "\n") > 60 {
		t.Fatalf("the way to combine is not there, or too long to be read:\n%s", readme)
	}
	v.write("combine.py", script)
	var shares []string
	for _, n := range names[1:] {
		shares = append(shares, v.path(n+".share"))
		tool(t, "age", "-d", "-i", v.path(n+".txt"), "-o", v.path(n+".share"), v.sealed("share-"+n+".age"))
	}
	identity := tool(t, "python3", append([]string{v.path("combine.py")}, shares...)...)
	v.write("identity.txt", identity)
	ids, err := age.ParseIdentities(strings.NewReader(identity))
	if err != nil {
		t.Fatalf("what Python combined is not an identity: %v", err)
	}
	raw, err := os.Open(v.sealed("canary.age"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	clear, err := age.Decrypt(raw, ids...)
	if err != nil {
		t.Fatalf("the identity that Python combined opens nothing: %v", err)
	}
	if text, err := io.ReadAll(clear); err != nil || !strings.HasPrefix(string(text), "runner canary of set ") {
		t.Errorf("got %q, %v", text, err)
	}
	if !v.opensHybrid() {
		t.Logf("%s has no hybrid keys: age 1.3 has; runner itself is left to open them", strings.TrimSpace(tool(t, "age", "--version")))
		return
	}
	for name, want := range realSecrets {
		if got, err := os.ReadFile(filepath.Join(v.open("bundle.age", "identity.txt"), "secrets",
			strings.ReplaceAll(name, "/", "%2F"))); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

// opensHybrid asks the age on this machine whether it knows hybrid keys.
func (v *vault) opensHybrid() bool {
	path, err := find("age-keygen")
	if err != nil {
		v.t.Fatal(err)
	}
	return exec.CommandContext(v.t.Context(), path, "-pq", "-o", v.path("pq.txt")).Run() == nil
}
