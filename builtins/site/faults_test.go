package site

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/neosofia/runner/runtime"
)

// at is where a fault stands and what is said of it.
type at struct {
	line, col int32
	said      string
}

func faultsOf(t *testing.T, text string) []*runtime.Trace {
	t.Helper()
	_, err := Load("site.star", []byte(text), runtime.Limits{})
	var all *Faults
	if !errors.As(err, &all) {
		t.Fatalf("got %v, want faults", err)
	}
	return all.List
}

func TestAllFaultsAreToldEachWhereTheValueStands(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []at
	}{
		{"several calls, and several arguments of one", `target(name = "a", url = "ftp://x/y", medium = "disk", location = "l", part_size = 3)
host(name = "h")
asset(
    name = "files",
    rpo = "soon",
    on = {
        "nowhere": "read",
        "a": "perfect",
    },
)
logs(name = "x", host = "gone", journal = True)
`, []at{
			{1, 26, "want file:///folder"}, {1, 84, "part_size"}, {2, 5, "say either local"},
			{5, 11, `bad duration "soon"`}, {7, 20, `no target "nowhere"`}, {8, 14, `"perfect" is not a level`}, {11, 25, `no host "gone"`},
		}},
		{"a name stands for the value", "BAD = \"x\"\n" +
			`target(name = "a", url = "file:///a", medium = "disk", location = "l", sealed_to = [BAD])`, []at{{1, 7, "not an age recipient"}}},
		{"placeholders, by the names that they stand under", `KEY = "age1pq1..."
proxmox(name = "p", url = "https://h:8006", fingerprints = ["AA:BB:..."], token_id = "u@pve!t", token = secret("t"), storage = "s", asset = "vm")
target(name = "t", url = "file:///t", medium = "disk", location = "l", uuid = "1b2c-…", sealed_to = [KEY])
asset(name = "vm", title = "and so on ...", on = {"t": "read"})
logs(name = "odd", host = "h", files = ["/srv/and more.../*.log"])
host(name = "h", local = True)
accept_gap(item = "The …", gap = "/srv/deep/d/d…d/d", reason = "so deep ...", until = "2030-01-01")
`, []at{{1, 7, `KEY holds the placeholder "age1pq1..."`}, {2, 61, "fingerprints holds the placeholder"}, {3, 79, "uuid holds the placeholder"}}},
		{"fingerprints that are none, one of two", `P = "12:34"
proxmox(name = "pve", url = "https://h:8006", fingerprints = [
    "` + pin + `",
    P,
], token_id = "u@pve!t", token = secret("t"), storage = "backup", asset = "a")
unifi(name = "g", url = "https://g", fingerprints = ["` + pin[:94] + `Z"], user = "u", password = secret("p"))
cloudflare(name = "c", token = secret("c"), zones = ["x.org"], fingerprints = ["", "` + strings.ToLower(pin) + `"])
asset(name = "a")
`, []at{{1, 5, `"12:34" is not a SHA-256 fingerprint: want 64 hex digits` + "\nhint: pvenode"}, {6, 54, "openssl"},
			{7, 80, `"" is not a SHA-256 fingerprint`}}},
		{"what refers to a call with a fault is not judged", `target(name = "t", url = "file:///t", medium = "disk")
asset(name = "a", copies = 2, on = {"t": "read"})
`, []at{{1, 7, "missing argument for location"}}},
		{"a storage of a system that is not there, and of one with a fault", goodProxmox +
			`target(name = "t", url = "pve://nosuch/backup", medium = "disk", location = "l")
asset(name = "virtual_machines", on = {"t": "read"})
host(name = "bad")
target(name = "u", url = "pve://bad/backup", medium = "disk", location = "l")
target(name = "v", url = "pve://pve/backup", medium = "disk", location = "l")
`, []at{{2, 26, `target t: the site has no proxmox "nosuch"`}, {4, 5, "say either local"}}},
		{"what ends the evaluation is told with what came before", `host(name = "h")
x = 1 // 0
`, []at{{1, 5, "say either local"}, {2, 7, "division by zero"}}},
		{"guests that two assets name, and none", `asset(name = "a", guests = ["erp", tagged("x")])
asset(name = "b", guests = ["erp"])
asset(name = "c", guests = [])
asset(name = "d", guests = "erp")
asset(name = "e", guests = pool(""))
asset(name = "f", guests = tagged("X"))
asset(name = "g", guests = pool("Office"))
asset(name = "h", guests = pool("office"))
`, []at{{2, 29, "guest erp belongs to the asset a already"}, {3, 28, "guests is empty"}, {4, 28, "want tagged(…), pool(…) or a list of names"}, {5, 32, "the pool has no name"},
			{6, 28, "tag X belongs to the asset a already"}}},
		{"a secret, and a loop that declares", `[target(name = n, url = "tape://" + n, medium = "disk", location = "l") for n in ["a", "b"]]
secret("../x")
`, []at{{1, 25, "want file://"}, {2, 7, "bad name of a secret"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := faultsOf(t, c.text)
			if len(got) != len(c.want) {
				t.Errorf("got %d faults, want %d", len(got), len(c.want))
			}
			for i, f := range got {
				if i >= len(c.want) {
					t.Errorf("beyond: %v", f)
					continue
				}
				pos, w := f.Position(), c.want[i]
				if pos.Line != w.line || pos.Col != w.col || !strings.Contains(f.Error(), w.said) {
					t.Errorf("got %v, want %q at %d:%d", f, w.said, w.line, w.col)
				}
			}
		})
	}
}

func TestTheExampleHasNoFaultsButItsPlaceholders(t *testing.T) {
	text, err := os.ReadFile("../../policies/site.example.star")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faultsOf(t, string(text)) {
		if !strings.Contains(f.Error(), "holds the placeholder") {
			t.Errorf("%v", f)
		}
	}
}

// What is secret and was typed into the site is shown by none of its faults.
func TestNoFaultShowsASecret(t *testing.T) {
	key := "AGE-SECRET-KEY-1" + "HUNTER2QQQ"
	for _, c := range []struct{ name, text, want string }{
		{"an identity in the place of a recipient", `target(name = "a", url = "file:///a", medium = "d", location = "l", sealed_to = ["` + key +
			`"])`,
			"location = \"l\", sealed_to = [\"**************************\"]"},
		{"an identity on a line with another fault", `KEY = "` + key + `"; host(name = "h")`, "say either local"},
		{"a password in a URL", `target(name = "a", url = "sftp://u:hunter2@h/x", medium = "d", location = "l")`, `"sftp://u:*******@h/x"`},
		{"with an @ in it", `target(name = "a", url = "sftp://u:hunter2@hunter2@h/x", medium = "d", location = "l")`,
			`"sftp://u:***************@h/x"`},
		{"a password", `unifi(name = "g", url = "https://g", user = "u", password = "hunter2", fingerprints = [])`, `password = "*******"`},
		{"a token in other quotes", `cloudflare(name = "c", token = 'hunter2', zones = ["x.org"])`, `token = '*******'`},
		{"a key", `target(name = "a", url = "ftp://h/x", medium = "d", location = "l", key = "hunter2")`, `key = "*******"`},
		{"a constant", `GATEWAY_PASSWORD = "hunter2"; host(name = "h")`, "say either local"},
		{"a line that cannot be read", `unifi(password = "hunter2" user = "u")`, `password = "*******"`},
		{"a name that is not there", `unifi(password = "hunter2", user = User)`, `password = "*******"`},
		{"what ends the evaluation", `x = [1 // 0, host(password = "hunter2")]`, "division by zero"},
		{"what is no secret", `host(name = "h", ssh_key = secret("host-key"), host_key = "ssh-ed25519 AAAA")`,
			`secret("host-key"), host_key = "ssh-ed25519 AAAA"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load("site.star", []byte(c.text), runtime.Limits{})
			if err == nil {
				t.Fatal("it was accepted")
			}
			text := err.Error()
			var d interface{ Details() string }
			if errors.As(err, &d) {
				text += "\n" + d.Details()
			}
			if strings.Contains(strings.ToLower(text), "hunter2") || !strings.Contains(text, c.want) {
				t.Errorf("got %s\nwant in it %s, and no secret", text, c.want)
			}
		})
	}
}

func TestAHintStandsBelowTheLine(t *testing.T) {
	_, err := Load("site.star", []byte("K = \"age1...\"\n"), runtime.Limits{})
	var all *Faults
	if !errors.As(err, &all) {
		t.Fatal(err)
	}
	want := "site.star:1:5: K holds the placeholder \"age1...\"\n    K = \"age1...\"\n        ^\nhint: runner recovery-key new, on another " +
		"machine, prints the recipient"
	if got := all.Details(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
