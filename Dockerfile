# docker build -t deepcams . && docker run --rm -v "$PWD:/data" -u "$(id -u):$(id -g)" deepcams downscale cams.nc -o pm25.zarr
FROM python:3.13-slim AS build
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE /source/
COPY src /source/src
COPY configs /source/configs
RUN python -m venv /opt/deepcams \
    && /opt/deepcams/bin/pip install --no-cache-dir -c /source/constraints.txt "/source[cloud,grib]"

FROM python:3.13-slim
COPY --from=build /opt/deepcams /opt/deepcams
RUN useradd --create-home --uid 10001 deepcams && mkdir /data && chown deepcams /data
# The user may be any (-u), whose home cannot be written to.
ENV PATH=/opt/deepcams/bin:$PATH DEEPCAMS_CACHE=/tmp/deepcams MPLCONFIGDIR=/tmp/matplotlib
USER deepcams
WORKDIR /data
ENTRYPOINT ["deepcams"]
CMD ["--help"]
