package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type saveArgs struct {
	Paths   []string `star:"paths" doc:"paths"`
	Exclude []string `star:"exclude?" doc:"paths"`
}

// Each row is a policy, and the paths that its calls of save give to paths.
func TestPathsAreThoseOfTheArgument(t *testing.T) {
	main := func(body string) string { return "def main():\n    " + body + "\n" }
	for _, c := range []struct{ name, script, want string }{
		{"beside others", "LOG = \"/var/log\"\n" + main(`save(paths = ["/etc", "/srv/*"], exclude = ["/srv/cache"])`), "/etc /srv/*"},
		{"by a constant", "PATHS = [\"/etc\"] + [\"/root\"]\nNOT = [\"/etc/x\"]\n" + main("save(paths = PATHS, exclude = NOT)"), "/etc /root"},
		{"of a loop", "def main():\n    for p in sorted([\"/etc\", \"/srv\"]):\n" +
			"        save(paths = [p], exclude = [p + \"/x\", \"/y\"])\n", "/etc /srv"},
		{"of a condition", main(`save(paths = ["/a"] if 1 else ["/b"])`), "/a /b"},
		{"of sets by name", "SETS = {\"web\": [\"/srv/web\"], \"etc\": [\"/etc\"]}\nEXCLUDE = [\"/srv/web/tmp\"]\n" +
			main("[(lambda n = n: save(paths = SETS[n], exclude = EXCLUDE)) for n in SETS]"), "/etc /srv/web"},
		{"of sets with exclusions", "SETS = {\"web\": {\"paths\": [\"/srv/web\"], \"exclude\": [\"/srv/web/tmp\"]}}\ndef main():\n" +
			"    for n, s in SETS.items():\n        save(paths = s[\"paths\"], exclude = s[\"exclude\"])\n", "/srv/web"},
		{"of a set that is given whole", "SET = {\"paths\": [\"/srv/web\"], \"exclude\": [\"/srv/web/tmp\"]}\n" +
			main("save(**SET)"), "/srv/web"},
		{"by way of a function", "def one(paths, exclude = [\"/x\"]):\n    save(paths = paths, exclude = exclude)\n\n" +
			main(`one(["/a"])`) + "    one(exclude = [\"/c/d\"], paths = [\"/c\"])\n", "/a /c"},
		{"of a name that leads to itself", "def one(p):\n    save(paths = p)\n    one(p)\n", ""},
		{"of what cannot be seen", main("save(paths = [x[1:] for x in []])"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "p.star")
			if err := os.WriteFile(file, []byte(c.script), 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := (&Runtime{Primitives: []Declaration{Primitive[saveArgs]{Name: "save", Kind: Write, Returns: "artifact"}}}).Load(file, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(p.Paths("save", "paths"), " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
