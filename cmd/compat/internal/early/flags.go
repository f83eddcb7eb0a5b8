package early

import "strings"

// flags understands the plain forms of flags: --name value, --name=value,
// -n value, --switch, and words that are no flags. What it does not understand
// is left to the command-line library.
type flags struct {
	texts    map[string]*string
	lists    map[string]*[]string
	switches map[string]*bool
	// runs: from the first word on that is no flag, nothing is one.
	runs bool
}

func newFlags() *flags {
	return &flags{texts: map[string]*string{}, lists: map[string]*[]string{}, switches: map[string]*bool{}}
}

// StringVar implements local.Flags.
func (f *flags) StringVar(p *string, name, value, _ string) {
	*p = value
	f.texts["--"+name] = p
}

// StringVarP implements local.Flags.
func (f *flags) StringVarP(p *string, name, shorthand, value, usage string) {
	f.StringVar(p, name, value, usage)
	f.texts["-"+shorthand] = p
}

// StringArrayVar implements local.Flags.
func (f *flags) StringArrayVar(p *[]string, name string, value []string, _ string) {
	*p = value
	f.lists["--"+name] = p
}

// BoolVar implements local.Flags.
func (f *flags) BoolVar(p *bool, name string, value bool, _ string) {
	*p = value
	f.switches["--"+name] = p
}

// parse sets the flags and returns the other words; ok is false where there is
// something that it does not understand.
func (f *flags) parse(args []string) (words []string, ok bool) {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if f.runs && arg == "--" {
			return args, true
		}
		if arg == "-" || !strings.HasPrefix(arg, "-") {
			if words = append(words, arg); f.runs {
				return append(words, args...), true
			}
			continue
		}
		name, value, given := strings.Cut(arg, "=")
		if given && !strings.HasPrefix(name, "--") {
			return nil, false
		}
		if p := f.switches[name]; p != nil && (!given || value == "true" || value == "false") {
			*p = !given || value == "true"
			continue
		}
		text, list := f.texts[name], f.lists[name]
		if text == nil && list == nil {
			return nil, false
		}
		if !given {
			if len(args) == 0 {
				return nil, false
			}
			value, args = args[0], args[1:]
		}
		if text != nil {
			*text = value
		} else {
			*list = append(*list, value)
		}
	}
	return words, true
}
