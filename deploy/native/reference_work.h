// A fixed piece of work whose CPU time tells how fast the machine is at the moment: neighbours and clocks change it.
#pragma once

namespace msnoah {

// CPU milliseconds of this thread: the median of some equal parts, times their number. Compare it with this program's
// own figures only: Python's worker does the same products in other code.
double time_reference();

} // namespace msnoah
