package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

type imageArgs struct {
	Host string   `star:"host" doc:"host" names:"host"`
	To   []string `star:"to?" doc:"targets" names:"target"`
}

// checked gives what Check finds in a policy, without the folder of its file.
func checkedPolicy(t *testing.T, script string) []Diagnostic {
	t.Helper()
	file := filepath.Join(t.TempDir(), "p.star")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	rt := &Runtime{
		Primitives: []Declaration{
			Primitive[imageArgs]{Name: "image", Kind: Write, Returns: "artifact"},
			Primitive[struct{}]{Name: "now", Kind: Read, Returns: "time"},
			Primitive[makeArgs]{Name: "make", Kind: Write, Returns: "artifact"},
		},
		Stdlib: fstest.MapFS{"lib.star": {Data: []byte("def tool(x):\n    return x\n\ndef other():\n    return 1\n")}},
	}
	p, err := rt.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p.Check(Names{"host": {"pve1", "pve2"}, "target": {"usb", "offsite"}, "asset": {"vms"}})
}

// Each row is the body of main, or a whole file, and what is found in it: "" is nothing.
// A mark "warn" begins what exec would run all the same.
func TestWhatCheckFinds(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"a function that calls itself", "def f(n):\n    return f(n - 1)\n", "2:12: f calls itself; there is no recursion"},
		{"two that call each other", "def f(n):\n    return g(n)\n\ndef g(n):\n    if n:\n        return f(n - 1)\n    return 0\n",
			"6:16: f calls itself: f -> g -> f; there is no recursion"},
		{"one within another", "def f():\n    def g():\n        f()\n    g()\n", "3:9: f calls itself: f -> g -> f; there is no recursion"},
		{"by way of catch", "def f():\n    catch(f)\n", "2:11: f calls itself; there is no recursion"},
		{"by way of the key of sorted", "def f(n):\n    return sorted([n], key = lambda x: f(x))\n",
			"2:40: f calls itself; there is no recursion"},
		{"a branch begins anew", "def f(n):\n    if n:\n        each([lambda: f(n - 1)])\n", ""},
		{"a function that is passed on", "def f(n):\n    return [f, n]\n", ""},
		{"a variable of the function's name",
			"def f(n):\n    return 1\n\ndef g(f):\n    return f(1)\n\ndef h():\n    return g(h2)\n\ndef h2(n):\n    return f(n)\n",
			""},
		{"one function called twice", "def f(n):\n    return n\n\ndef g():\n    return f(f(1))\n", ""},

		{"a load that is not used", "load(\"@stdlib//lib.star\", \"tool\", \"other\")\n\nX = tool(1)\n",
			"warn 1:36: other is loaded and never used"},
		{"a load under another name", "load(\"@stdlib//lib.star\", t = \"tool\")\n", "warn 1:27: t is loaded and never used"},
		{"a load for its own sake", "load(\"@stdlib//lib.star\", _tool = \"tool\")\n", ""},
		{"a load that a lambda uses", "load(\"@stdlib//lib.star\", \"tool\")\n\nF = lambda: tool(1)\n", ""},
		{"a load that is a default", "load(\"@stdlib//lib.star\", \"tool\")\n\ndef f(x = tool):\n    return x\n", ""},

		{"after return", "def f():\n    return 1\n    x = 2\n", "warn 3:5: this is never reached: return in line 2"},
		{"after break", "def f():\n    for x in [1]:\n        break\n        print(x)\n", "warn 4:9: this is never reached: break in line 3"},
		{"after continue", "def f():\n    for x in [1]:\n        continue\n        print(x)\n",
			"warn 4:9: this is never reached: continue in line 3"},
		{"after fail", "def f():\n    fail(\"no\")\n    return 1\n", "warn 3:5: this is never reached: fail in line 2"},
		{"after an if that always leaves", "def f(x):\n    if x:\n        return 1\n    else:\n        fail(\"no\")\n    return 2\n",
			"warn 6:5: this is never reached: every branch ends the if in line 2"},
		{"after an if that may go on", "def f(x):\n    if x:\n        return 1\n    return 2\n", ""},
		{"after a loop that breaks", "def f():\n    for x in [1]:\n        break\n    return 2\n", ""},
		{"after pass", "def f():\n    pass\n    return 2\n", ""},
		{"after a fail of one's own", "def g(fail):\n    fail(\"no\")\n    return 1\n", "warn 1:7: fail hides the builtin of that name"},

		{"a constant", "len = 3\n", "warn 1:1: len hides the builtin of that name"},
		{"a function", "def image(host):\n    return host\n", "warn 1:5: image hides the builtin of that name"},
		{"a load", "load(\"@stdlib//lib.star\", image = \"tool\")\n\nX = image(1)\n", "warn 1:27: image hides the builtin of that name"},
		{"a variable", "def f():\n    time = 3\n    return time\n", "warn 2:5: time hides the builtin of that name"},
		{"a variable of a comprehension", "X = [str for str in [1]]\n", "warn 1:14: str hides the builtin of that name"},
		{"a parameter, seen where it is used", "def f(now):\n    return now\n", ""},
		{"a parameter that is called", "def f(now):\n    return now()\n", "warn 1:7: now hides the builtin of that name"},
		{"the name of an argument", "def f():\n    return dict(image = 1, len = 2)\n", ""},

		{"a builtin that an assignment hides", "def f():\n    image = image(host = \"pve1\")\n    return image\n",
			"warn 2:5: image hides the builtin of that name\n" +
				"2:13: image is read before it is assigned: line 2 makes it a variable of this function, which hides the builtin"},
		{"a variable before its line", "def f():\n    print(x)\n    x = 1\n", "2:11: x is read before it is assigned"},
		{"one that adds to nothing", "def f():\n    x += 1\n", "2:5: x is read before it is assigned"},
		{"one that a branch assigns", "def f(c):\n    if c:\n        x = 1\n    return x\n", ""},
		{"one that an earlier round assigned", "def f():\n    for i in [1, 2]:\n        if i > 1:\n            print(x)\n        x = i\n", ""},
		{"one of a function around it", "def f():\n    def g():\n        return x\n    x = 1\n    return g\n", ""},
		{"places of a list", "def f():\n    x = [1]\n    x[0], y = 1, 2\n    return y\n", ""},

		{"the clock that there is not", "def f():\n    return time.now()\n", "2:17: time has no attribute now | the time of the run is now()"},
		{"a misspelt attribute", "def f():\n    return time.prase(\"2026-01-01\")\n",
			"2:17: time has no attribute prase (did you mean parse?) | time has duration, parse, unix"},
		{"an attribute of a text", "X = lambda: \"a\".upcase()\n", "1:17: a string has no attribute upcase"},
		{"an attribute of a primitive", "def f():\n    return image.host\n", "2:18: image has no attribute host"},
		{"an attribute of a function", "def f():\n    return 1\n\nX = lambda: f.x\n", "4:15: f, a function, has no attribute x"},
		{"an attribute of a moment", "def f():\n    return now().yaer\n",
			"2:18: a time has no attribute yaer (did you mean year?) | a time has day, hour, iso_week, iso_year, minute, month, second, unix, " +
				"weekday, year, yearday"},
		{"attributes that are there",
			"def f(x):\n    return [time.parse(\"2026-01-01\").year, now().hour, \"-\".join([]), [].index, {}.get, x.anything]\n",
			""},

		{"an unknown host", "def f():\n    image(host = \"pve3\")\n",
			"2:18: the site has no host \"pve3\" (did you mean pve1?) | hosts: pve1, pve2"},
		{"one in a list", "def f():\n    image(host = \"pve1\", to = [\"usb\", \"tape\"])\n",
			"2:39: the site has no target \"tape\" | targets: offsite, usb"},
		{"one in a constant", "HOST = \"box\"\n\ndef f():\n    image(host = HOST)\n    image(host = HOST)\n",
			"1:8: the site has no host \"box\" | hosts: pve1, pve2"},
		{"one of a loop", "def f():\n    for h in [\"pve1\", \"box\"]:\n        image(host = h)\n",
			"warn 2:23: the site has no host \"box\" | hosts: pve1, pve2"},
		{"one that a lambda keeps", "def f():\n    each([lambda h = h: image(host = h) for h in (\"pve1\", \"box\")])\n",
			"warn 2:59: the site has no host \"box\" | hosts: pve1, pve2"},
		{"one that is chosen", "def f(x):\n    image(host = \"pve1\" if x else \"box\")\n",
			"warn 2:35: the site has no host \"box\" | hosts: pve1, pve2"},
		{"one that is not known before", "def f(h):\n    image(host = h)\n    g = h\n    g = \"pve\" + h\n    image(host = g)\n", ""},
		{"an asset of the policy", "policy(sop = \"S\", section = \"s\", version = \"1\", protects = [\"vms\", \"boxes\"])\n",
			"1:68: policy protects the asset \"boxes\", which the site does not have | assets: vms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, d := range checkedPolicy(t, c.script+"\ndef main():\n    pass\n") {
				_, text, _ := strings.Cut(d.Pos.String(), "p.star:")
				text += ": " + d.Text
				if d.Warning {
					text = "warn " + text
				}
				if strings.Contains(c.want, " | ") && d.Hint != "" {
					text += " | " + d.Hint
				}
				got = append(got, text)
			}
			if text := strings.Join(got, "\n"); text != c.want {
				t.Errorf("got\n%s\nwant\n%s", text, c.want)
			}
		})
	}
}

func TestAFaultShowsItsLine(t *testing.T) {
	all := checkedPolicy(t, "def main():\n\ttime.now()\n\treturn\n\tprint(1)\n")
	if len(all) != 2 || len(Faults(all)) != 1 {
		t.Fatalf("got %v, want a fault and a warning", all)
	}
	_, got, _ := strings.Cut(all[0].String(), "p.star:")
	if want := "2:7: time has no attribute now\n     time.now()\n          ^\nhint: the time of the run is now()"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
