package plot

import (
	"fmt"
	"image/color"
	"strings"
)

// ink is what a colour is for. Its light colour is used in files; in a page it
// is a variable of CSS, which has a dark one too.
type ink int

const (
	back ink = iota
	text
	soft // notes, axes
	line // grids
	bar
	onHigh // text on the upper half of the steps
	step0  // the first of numSteps
)

const (
	numSteps = 11 // from none to most
	highStep = 6  // from here on text is onHigh
	lane0    = step0 + numSteps
	numLanes = 6 // recordings that are told apart by colour
)

// colours are light and dark, 0xRRGGBB, by ink. No two of the light ones are
// equal: in the SVG they stand for their inks.
var colours = [...][2]uint32{
	back:       {0xffffff, 0x15181c},
	text:       {0x1a1d21, 0xe4e7ea},
	soft:       {0x5b626b, 0xa0a8b1},
	line:       {0xd5d9de, 0x363c44},
	bar:        {0x3d7fc1, 0x5b9bd9},
	onHigh:     {0xfefefe, 0x0e1114},
	step0:      {0xf3f4f6, 0x1f242a},
	step0 + 1:  {0xd0e3f4, 0x173452},
	step0 + 2:  {0xbfd9ef, 0x1b3d60},
	step0 + 3:  {0xaccee9, 0x1f466e},
	step0 + 4:  {0x98c2e3, 0x25507c},
	step0 + 5:  {0x83b6dd, 0x2c5b8a},
	step0 + 6:  {0x2f75b5, 0x6ea8dc},
	step0 + 7:  {0x22619f, 0x85b7e5},
	step0 + 8:  {0x164e87, 0x9dc6ec},
	step0 + 9:  {0x0d3c6e, 0xb8d6f2},
	step0 + 10: {0x082c55, 0xd6e7f8},
	lane0:      {0x0b62a4, 0x6db3f2},
	lane0 + 1:  {0xb34700, 0xff9d5c},
	lane0 + 2:  {0x1a7f4b, 0x5fd39a},
	lane0 + 3:  {0x8b3fa8, 0xd49bf0},
	lane0 + 4:  {0x8a6100, 0xe5c14d},
	lane0 + 5:  {0x1b7f8c, 0x62d0dd},
}

func (i ink) color() color.Color {
	c := colours[i][0]
	return color.NRGBA{uint8(c >> 16), uint8(c >> 8), uint8(c), 255}
}

// property is the name of an ink in CSS.
func (i ink) property() string { return fmt.Sprintf("--plot%d", int(i)) }

// over is the ink of text on a step.
func over(step int) ink {
	if step >= highStep {
		return onHigh
	}
	return text
}

// CSS declares the colours of inline pictures: light, and dark where the reader
// prefers it and does not print.
func CSS() string {
	var b strings.Builder
	for scheme, around := range [][2]string{{":root {", "}\n"}, {"@media screen and (prefers-color-scheme: dark) { :root {", "} }\n"}} {
		b.WriteString(around[0])
		for i, c := range colours {
			fmt.Fprintf(&b, " %s: #%06x;", ink(i).property(), c[scheme])
		}
		b.WriteString(" " + around[1])
	}
	return b.String()
}
