package site

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime"
)

const (
	pin         = "12:0E:60:02:77:80:F8:82:05:EB:1F:CE:84:7B:41:DD:D8:2D:04:A2:54:6B:C9:4B:ED:AA:25:8E:6D:37:03:3A"
	goodProxmox = `proxmox(name = "pve", url = "https://h:8006", fingerprints = ["` + pin +
		`"], token_id = "u@pve!t", token = secret("t"), storage = "backup")
`
	goodTarget = `target(name = "usb", url = "file:///mnt/usb", medium = "usb", location = "safe")
`
	goodAsset = `asset(name = "virtual_machines", on = {"usb": "read"})
`
)

// travels is a medium that is taken away; a set says when it is due.
const travels = `target(name = "a", url = "file:///mnt/a", medium = "usb", location = "safe", offline = True, uuid = "u", serial = "s")
`

func TestASetOfMediaStandsForEachOfThem(t *testing.T) {
	s, err := Load("site.star", []byte(goodProxmox+goodTarget+travels+strings.Replace(travels, `"a"`, `"b"`, 1)+
		`media(set = "away", names = ["a", "b"], every = "7d", grace = "2d", keeper = "Anna")
asset(name = "virtual_machines", on = {"usb": "opened", "away": "read"}, copies = 2, offline = 1)`), runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	row, _ := s.Demands.Asset("virtual_machines")
	if got := fmt.Sprint(row.On); got != "[{a 1 0s away} {b 1 0s away} {usb 2 0s }]" {
		t.Errorf("got %s", got)
	}
	if len(row.Promises()) != 2 {
		t.Errorf("got the promises %v, want two", row.Promises())
	}
	for _, f := range s.Demands.Targets[1:] {
		if f.Due != 7*24*time.Hour || f.Grace != 2*24*time.Hour {
			t.Errorf("%s is due every %s, grace %s", f.Name, f.Due, f.Grace)
		}
	}
}

func TestBadSites(t *testing.T) {
	good := goodProxmox + goodTarget + goodAsset
	if _, err := Load("site.star", []byte(good), runtime.Limits{}); err != nil {
		t.Fatalf("the good site: %v", err)
	}
	sftp := `target(name = "off", url = "sftp://u@h/x", medium = "disk", location = "L"`
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"a constructor that is misspelt", `proxmx(name = "pve")`, []string{"proxmx"}},
		{"an argument that is misspelt", `target(nam = "x")`, []string{"nam", "name"}},
		{"an argument that is missing", `target(name = "x", url = "file:///x", medium = "usb")`, []string{"location"}},
		{"a number for a text", `target(name = 3, url = "file:///x", medium = "usb", location = "l")`, []string{"name"}},
		{"a secret as a text", strings.Replace(goodProxmox, `secret("t")`, `"12345"`, 1), []string{"token", "secret"}},
		{"a secret with the name of a path", `secret("../x")`, []string{"bad name of a secret"}},
		{"no certificate", strings.Replace(goodProxmox, `["`+pin+`"]`, `[]`, 1), []string{"fingerprints is empty", "pvenode cert info"}},
		{"plain http", strings.Replace(goodProxmox, "https://", "http://", 1), []string{"want https://"}},
		{"a password in a URL", strings.Replace(goodTarget, "file:///mnt/usb", "sftp://u:hunter2@h/x", 1),
			[]string{"holds a password", "secret("}},
		{"a token id that is none", strings.Replace(goodProxmox, "u@pve!t", "root", 1), []string{"want user@realm!token"}},
		{"no URL", strings.Replace(goodProxmox, `url = "https://h:8006", `, "", 1), []string{"missing argument for url"}},
		{"ssh without a host key", strings.Replace(goodProxmox, `storage = "backup"`, `storage = "backup", ssh = {"pve1": "root@h"}`, 1),
			[]string{"host_keys does not", "ssh-keyscan"}},
		{"two systems of one name", good + goodProxmox, []string{`"pve" is declared twice`}},
		{"two targets of one name", good + goodTarget, []string{`"usb" is declared twice`}},
		{"kept in two ways", good + `target(name = "x", url = "file:///x", medium = "disk", location = "here", immutable = True, ` +
			`append_only = True)`, []string{"say immutable or append_only"}},
		{"a storage of Proxmox that is kept", good + `target(name = "x", url = "pve://pve/backup", medium = "disk", location = "here", ` +
			`append_only = True)`, []string{"a storage of Proxmox is not probed"}},
		{"two assets of one name", good + goodAsset, []string{`"virtual_machines" is declared twice`}},
		{"two systems with one asset", good + strings.Replace(goodProxmox, `"pve"`, `"pve2"`, 1), []string{"asset of its own"}},
		{"guests of two clusters in one group", good + strings.Replace(goodProxmox, `"pve"`, `"pve2", asset = "others"`, 1) +
			strings.Replace(goodAsset, `"virtual_machines"`, `"others"`, 1) +
			strings.Replace(goodAsset, `"virtual_machines"`, `"services", guests = tagged("prod")`, 1), []string{"chooses guests of 2 clusters"}},
		{"a URL of no kind that is known", strings.Replace(goodTarget, "file:///mnt/usb", "ftp://h/x", 1),
			[]string{"file:///folder or sftp://user@host[:port]/folder or pve://[system/]storage"}},
		{"sftp without a host key", sftp + `, key = secret("k"))`, []string{"host_key is missing"}},
		{"an offline disk without identity", strings.Replace(goodTarget, `"safe"`, `"safe", offline = True, due = "7d"`, 1),
			[]string{"needs uuid and serial", "lsblk"}},
		{"an offline disk that is never due", strings.Replace(goodTarget, `"safe"`, `"safe", offline = True, uuid = "u", serial = "s"`, 1),
			[]string{"needs due"}},
		{"a set of a medium that is not there", good + `media(set = "away", names = ["usb", "usb2"], every = "7d")`, []string{`no target "usb2"`,
			"usb does not travel"}},
		{"a set that is never due", good + travels + `media(set = "away", names = ["a"], every = "0d")`, []string{"every"}},
		{"a medium of two sets", good + travels + `media(set = "x", names = ["a"], every = "7d")
media(set = "y", names = ["a"], every = "7d")`, []string{"a belongs to the set x already"}},
		{"a set with the name of a target", good + travels + `media(set = "usb", names = ["a"], every = "7d")`,
			[]string{`"usb" is the name of a target, too`}},
		{"a medium with times of its own", good + strings.Replace(travels, `serial = "s"`, `serial = "s", due = "1d"`, 1) +
			`media(set = "x", names = ["a"], every = "7d")`, []string{"due and grace of a medium of a set stand in media"}},
		{"a medium that is demanded twice", good + travels + `media(set = "x", names = ["a"], every = "7d")
asset(name = "more", on = {"a": "read", "x": "read"})`, []string{"by its own name and by its set's"}},
		{"more copies than a set gives", good + travels + strings.Replace(travels, `"a"`, `"b"`, 1) + `
media(set = "x", names = ["a", "b"], every = "7d")
asset(name = "more", on = {"x": "read"}, copies = 2)`, []string{"asks for 2 copies", "can give 1"}},
		{"a cloud store without a login", `target(name = "x", url = "onedrive:///backups", medium = "cloud", location = "m")`,
			[]string{"runner cloud login x makes it"}},
		{"a cloud store without a seal", `target(name = "x", url = "onedrive:///backups", medium = "cloud", location = "m", login = secret("l"))`,
			[]string{"always sealed"}},
		{"a cloud store's root", `target(name = "x", url = "onedrive:///", medium = "cloud", location = "m")`, []string{"onedrive:///folder"}},
		{"a login of a folder", strings.Replace(goodTarget, `"safe"`, `"safe", login = secret("l")`, 1), []string{"login is for cloud stores"}},
		{"hours that are none", strings.Replace(goodTarget, `"safe"`, `"safe", window = "22-6"`, 1), []string{"22:00-06:00"}},
		{"a read budget of no night", strings.Replace(goodTarget, `"safe"`, `"safe", part_size = 1048576, read_budget = "5GiB"`, 1), []string{"5GiB/night"}},
		{"a read budget of nothing", strings.Replace(goodTarget, `"safe"`, `"safe", part_size = 1048576, read_budget = "0/night"`, 1), []string{"5GiB/night"}},
		{"a read budget without parts", strings.Replace(goodTarget, `"safe"`, `"safe", read_budget = "5GiB/night"`, 1), []string{"needs part_size"}},
		{"a read budget below a part", strings.Replace(goodTarget, `"safe"`, `"safe", part_size = 1048576, read_budget = "1.5MiB/night"`, 1),
			[]string{"less than two parts"}},
		{"a read budget of archives in place", goodProxmox + `target(name = "node", url = "pve://pve/backup", medium = "disk", location = "l", read_budget = "1GiB/night")`,
			[]string{"not for archives in place"}},
		{"chunks without a password", strings.Replace(goodTarget, `"safe"`, `"safe", layout = "chunks"`, 1), []string{"runner secret set"}},
		{"another layout", strings.Replace(goodTarget, `"safe"`, `"safe", layout = "tape"`, 1), []string{`want "chunks"`}},
		{"chunks on a server", sftp + `, host_key = "k", layout = "chunks", password = secret("p"))`,
			[]string{"for a file:// target"}},
		{"parts that are too small", strings.Replace(goodTarget, `"safe"`, `"safe", part_size = 100`, 1), []string{"at least 1048576"}},
		{"a negative bandwidth", strings.Replace(goodTarget, `"safe"`, `"safe", bandwidth = -1`, 1), []string{"bandwidth"}},
		{"a duration that is none", strings.Replace(goodAsset, `on =`, `rpo = "soon", on =`, 1), []string{"rpo", "soon"}},
		{"a level that no night reaches", strings.Replace(goodAsset, `"read"`, `"booted"`, 1),
			[]string{`"booted" is not a level`, "stored, read or opened"}},
		{"a demand on a target that is not there", goodProxmox + goodAsset, []string{"asset virtual_machines", `no target`}},
		{"guests of an asset that is not there", goodProxmox + goodTarget, []string{`asset "virtual_machines"`, "not declared"}},
		{"more copies than targets", goodProxmox + goodTarget + strings.Replace(goodAsset, `on =`, `copies = 3, on =`, 1),
			[]string{"asks for 3 copies", "can give 1"}},
		{"a recipient that is none", strings.Replace(good, `"safe"`, `"safe", sealed_to = ["age1x"]`, 1) + goodAsset,
			[]string{`sealed_to "age1x": not an age recipient`, "recovery-key new"}},
		{"a sealed copy that nobody here can open",
			strings.Replace(good, `"safe"`, `"safe", sealed_to = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]`, 1) +
				strings.Replace(goodAsset, `"virtual_machines", on = {"usb": "read"}`, `"other", on = {"usb": "opened"}`, 1),
			[]string{"demands opened on usb, which is sealed", "on_host = True"}},
		{"an identity that is not said to lie here", good + `identity(secret = secret("i"))`, []string{"on_host = True"}},
		{"a keyring of no kind", `keyring(backend = "sticky note")`, []string{"unknown backend"}},
		{"a date that is none", `unprotected(guest = "x", reason = "y", until = "soon")`, []string{"until"}},
		{"an exception without an end", `accept_gap(item = "x", reason = "y")`, []string{"until"}},
		{"a system without a storage", strings.Replace(goodProxmox, `, storage = "backup"`, "", 1), []string{"missing argument for storage"}},
		{"a system without a token", strings.Replace(goodProxmox, `token = secret("t"), `, "", 1), []string{"missing argument for token"}},
		{"text that is not a site", "proxmox(", []string{"site.star:1"}},
		{"a loop without an end", "[x for x in range(10000000000)]", []string{"range"}},
	} {
		_, err := Load("site.star", []byte(c.text), runtime.Limits{})
		if err == nil {
			t.Errorf("%s: it was accepted", c.name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: got %v, want %q in it", c.name, err, w)
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows a secret: %v", c.name, err)
		}
	}
}

func TestFoldersOfPatterns(t *testing.T) {
	for files, want := range map[string]string{
		"/var/log/syslog":                            "/var/log",
		"/var/log/nginx/*.log":                       "/var/log/nginx",
		"/var/log/ngin[x]/*.log":                     "/var/log",
		"/var/log/ngin?/a/access.log":                "/var/log",
		"/var/log/a/*.log /var/log/a/x /srv/*/b/log": "/srv /var/log/a",
		"/*.log": "/",
	} {
		if got := strings.Join((&Logs{Files: strings.Fields(files)}).Folders(), " "); got != want {
			t.Errorf("%s: got %s, want %s", files, got, want)
		}
	}
}

func TestTheLabsSiteIsGood(t *testing.T) {
	s, err := Load("site.star", lab.Site, runtime.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if sys, err := s.System(""); err != nil || sys.Name != "pve" || sys.Token.Name != "pve-token" {
		t.Errorf("got %+v, %v", sys, err)
	}
	usb, err := s.Target("offline-a")
	if err != nil || usb.Due != 7*24*time.Hour || usb.Grace != 3*24*time.Hour || len(usb.SealedTo) != 1 {
		t.Errorf("got %+v, %v", usb, err)
	}
	if _, err := s.Target("offline-c"); err == nil || !strings.Contains(err.Error(), "it has node, offline-a, offline-b, offsite") {
		t.Errorf("an unknown target: got %v", err)
	}
	if got := s.Expired(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); len(got) != 0 {
		t.Errorf("before: got %q", got)
	}
	if got := s.Expired(time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)); len(got) != len(s.Demands.Unprotected)+len(s.Demands.Accepted)+
		len(s.Demands.Deviations) || len(got) == 0 {
		t.Errorf("after: got %q, want every exception and deviation", got)
	}
	other, err := Load("site.star", append([]byte("# x\n"), lab.Site...), runtime.Limits{})
	if err != nil || other.Digest == s.Digest || s.Digest == "" {
		t.Errorf("digests: got %q and %q, %v", s.Digest, other.Digest, err)
	}
}

func TestEveryConstructorIsExplained(t *testing.T) {
	for _, d := range Docs() {
		if d.Doc == "" || len(d.Params) == 0 {
			t.Errorf("%s is not explained", d.Name)
		}
		for _, p := range d.Params {
			if p.Doc == "" {
				t.Errorf("%s: %s is not explained", d.Name, p.Name)
			}
		}
	}
}
