"""The measuring process of MindSpore Lite, in its own environment: answers as msnoah.deploy.worker does.

For Python 3.7 with numpy and mindspore_lite; imports nothing of msnoah. It neither converts nor reads the machine,
which are the host's part.
"""

import gc
import json
import os
import sys
import time


class Worker:
    """One loaded model and the requests that it answers; each method returns what json can write."""

    def load(self, runtime, artifact, threads, batch_size):
        """Builds the model of a converted folder: float32, not bound to cores."""
        import mindspore_lite

        with open(os.path.join(artifact["path"], "interface.json"), encoding="utf-8") as file:
            interface = json.load(file)
        context = mindspore_lite.Context()
        context.target = ["cpu"]
        context.cpu.thread_num = threads
        context.cpu.inter_op_parallel_num = 1
        context.cpu.thread_affinity_mode = 0
        context.cpu.precision_mode = "enforce_fp32"   # its default too, in 2.0.0
        self.model = mindspore_lite.Model()
        start = time.perf_counter()
        path = os.path.join(artifact["path"], "model.ms")
        self.model.build_from_file(path, mindspore_lite.ModelType.MINDIR_LITE, context)
        load_ms = (time.perf_counter() - start) * 1e3
        self.inputs, self.outputs = interface["inputs"], interface["outputs"]
        self.places = self._in_order(self.model.get_inputs(), [spec["name"] for spec in self.inputs])
        return {"version": read_version(), "inputs": self.inputs, "load_ms": load_ms}

    def feed(self, path):
        """Takes the inputs from a file of raw arrays, little-endian, and runs once."""
        import numpy

        self.feeds = []
        with open(path, "rb") as file:
            for spec, place in zip(self.inputs, self.places):
                dtype = numpy.dtype(spec["dtype"])
                size = int(numpy.prod(spec["shape"], dtype=numpy.int64))
                array = numpy.fromfile(file, dtype.newbyteorder("<"), size).reshape(spec["shape"])
                self.feeds.append(numpy.ascontiguousarray(array.astype(type_of(place))))
        start = time.perf_counter()
        self.run()
        return {"first_run_ms": (time.perf_counter() - start) * 1e3}

    def measure(self, repeats):
        """Runs once unrecorded, then times `repeats` runs (CPU: of all threads), and the reference work around them."""
        before = time_reference()
        self.run()
        walls, cpus = [], []
        gc.disable()
        try:
            for _ in range(repeats):
                wall, cpu = time.perf_counter_ns(), time.process_time_ns()
                self.run()
                cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
                walls.append(wall / 1e6)   # ns -> ms
                cpus.append(cpu / 1e6)
        finally:
            gc.enable()
        return {"wall_ms": walls, "cpu_ms": cpus, "reference_ms": [before, time_reference()]}

    def outputs_to(self, path):
        """Writes the outputs on the measured input into a file of raw arrays; gives their types and shapes."""
        outputs = self.run()
        with open(path, "wb") as file:
            for output in outputs:
                file.write(output.astype(output.dtype.newbyteorder("<")).tobytes())
        return {"outputs": [{"dtype": output.dtype.name, "shape": list(output.shape)} for output in outputs]}

    def operators(self, runs):
        """None: MindSpore Lite's Python interface has no profiler."""
        return {"rows": []}

    def peak_memory(self):
        """Peak resident set of this process so far, in MiB."""
        with open("/proc/self/status") as status:
            line = next((line for line in status if line.startswith("VmHWM")), None)
        return {"mb": int(line.split()[1]) / 1024 if line else None}

    def run(self):
        """Runs once; the outputs in the artifact's order."""
        for place, feed in zip(self.places, self.feeds):
            place.set_data_from_numpy(feed)
        outputs = self._in_order(self.model.predict(self.places), self.outputs)
        return [output.get_data_to_numpy() for output in outputs]

    @staticmethod
    def _in_order(tensors, names):
        """MindSpore Lite keeps names and not the order."""
        found = {tensor.name: tensor for tensor in tensors}
        if sorted(found) != sorted(names):
            raise ValueError("mindspore-lite has tensors %s, expected %s" % (sorted(found), sorted(names)))
        return [found[name] for name in names]


def time_reference():
    """CPU milliseconds of a fixed piece of work, the same as msnoah.deploy.reference_work's."""
    import numpy

    left, right = numpy.random.default_rng(0).standard_normal((2, 128, 128), numpy.float32)
    times = []
    for _ in range(5):
        start = time.thread_time_ns()
        numpy.einsum("ij,kj->ik", left, right)
        times.append((time.thread_time_ns() - start) / 1e6)   # ns -> ms
    return float(numpy.median(times)) * 5


def type_of(tensor):
    """numpy's name of a tensor's element type; the converter may have changed it, as int64 to int32."""
    return tensor.dtype.name.lower()


def read_version():
    """The installed version of MindSpore Lite."""
    import mindspore_lite

    return mindspore_lite.__version__


REQUESTS = {"load": "load", "feed": "feed", "measure": "measure", "outputs": "outputs_to", "operators": "operators",
            "peak_memory": "peak_memory"}


def answer(worker, request):
    """Carries out one request; an exception becomes {"error": one line}."""
    arguments = dict(request)
    do = arguments.pop("do", None)
    if do not in REQUESTS:
        return {"error": "mindspore-lite's worker does not know '%s'" % do}
    try:
        return getattr(worker, REQUESTS[do])(**arguments)
    except Exception as error:   # whatever the runtime raises must become one row's reason
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return {"error": "mindspore-lite cannot %s: %s" % (do, lines[0][:300])}


def main():
    """Answers requests from standard input until it ends, which it also does when the parent dies."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)   # what the runtime prints must not stand between the answers
    worker = Worker()
    for line in sys.stdin:
        print(json.dumps(answer(worker, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
